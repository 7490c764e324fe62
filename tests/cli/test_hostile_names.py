"""Names that come from others' files and options never lead out of the folders they belong to."""

import json
import os
from pathlib import Path

import pytest

from fake_folder import write_own
from mgm.data.sources.folder import FolderSource
from mgm.data.store import cached_store


@pytest.mark.parametrize("name", ["/tmp/evil", "../../evil", "x" * 3000])
def test_the_name_in_a_strangers_settings_leads_nowhere(mgm, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MGM_CACHE", str(tmp_path / "a/b/cache"))
    folder = write_own(tmp_path / "photos", 12)
    (folder / "dataset.yaml").write_text(f"name: {json.dumps(name)}\nclasses: [a, b, c]\n")
    source = FolderSource(folder)
    assert source.info.name == name
    before = set(tmp_path.rglob("*"))
    path = cached_store(source, 8).path
    new = set(tmp_path.rglob("*")) - before
    assert path.parent == tmp_path / "a/b/cache"
    assert {path.relative_to(tmp_path).parts[0] for path in new} == {"a"}
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[2Jgone"])
def test_a_name_that_cannot_be_shown_is_one_clear_error(mgm, tmp_path, name):
    folder = write_own(tmp_path / "photos", 12)
    (folder / "dataset.yaml").write_text(f"name: {json.dumps(name)}\nclasses: [a, b, c]\n")
    err = mgm.refused("data", "inspect", folder)
    assert "dataset.yaml: name " in err
    assert "has characters that cannot be displayed" in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    "data, folder", [("..", "data"), ("/", "data"), ("my photos", "my-photos"), ("a\nb.zip", "a-b")]
)
def test_the_folder_of_a_run_lies_below_runs(mgm, monkeypatch, data, folder):
    seen = []
    monkeypatch.setattr("mgm.api.train_and_draw", lambda experiment, out, **_: seen.append(out) or {})
    monkeypatch.setattr("mgm.cli.train._print_result", lambda *_: None)
    mgm("train", "mt", "--preset", "tiny", "--data", data)
    assert [os.fspath(out) for out in seen] == [f"runs/mt-{folder}-s0"]
