"""Names that strangers choose, where they become names of files and folders."""

from __future__ import annotations

import json
import os
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from fake_folder import write_own
from fakes import FakeSource, write_files
from mgm.data.file_names import LONGEST, as_file_name
from mgm.data.files import open_tree
from mgm.data.folder import FolderSource
from mgm.data.store import build_store, cached_store, open_store, store_path
from mgm.errors import DataError
from mgm.types import DatasetInfo

HOSTILE = ["/etc/x", "../../x", "..", ".", "", "a/b", "a\\b", "~/x", ".hidden", "a\0b", "a\nb", "\x1b[31mred", "C:\\x", "a:b",
           "-rf", "*?", "x" * 5000, "\u4e2d" * 5000, "\U0001f600" * 300, "\ud800", "..\u2025/..", " "]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_becomes_one_plain_part_of_a_path(tmp_path, name):
    plain = as_file_name(name)
    assert plain
    assert plain == as_file_name(plain)
    assert not plain.startswith((".", "-"))
    assert len(plain) <= LONGEST
    assert Path(plain).name == plain
    for character in plain:
        assert character in "-_." or unicodedata.category(character)[0] in "LN"
    place = tmp_path / f"{plain}-128-0123456789ab.replaced"
    place.mkdir()  # no longer than file systems allow
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


@pytest.mark.parametrize("name", ["rooms", "nyuv2", "my_photos-2.1", "K\u00fcche", "\u5bb6"])
def test_ordinary_names_stay(name):
    assert as_file_name(name) == name


@dataclass
class Named(FakeSource):
    """A data set whose name somebody else chose."""

    name: str = ""

    @property
    def info(self) -> DatasetInfo:
        """Under that name."""
        return replace(super().info, name=self.name)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "\ud800"])
def test_converted_data_stay_in_the_cache(tmp_path, name):
    cache = tmp_path / "a/b/cache"
    store = cached_store(Named(count=4, name=name), 8, str(cache), workers=1)
    assert store.path.parent == cache
    assert store.info.name == name
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {
        path for path in cache.rglob("*") if path.is_file()
    }


def test_different_names_never_share_a_store(tmp_path):
    names = ["a/b", "a-b", "a b", "a\0b", "x" * 60, "x" * 61]
    paths = [store_path(Named(count=4, name=name), 8, str(tmp_path)) for name in names]
    assert len({str(path).casefold() for path in paths}) == len(names)


@pytest.mark.parametrize("name", ["/tmp/evil", "../../evil", "x" * 3000])
def test_the_name_in_a_strangers_settings_leads_nowhere(mgm, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MGM_CACHE", str(tmp_path / "a/b/cache"))
    folder = write_own(tmp_path / "photos", 12)
    (folder / "dataset.yaml").write_text(f"name: {json.dumps(name)}\nclasses: [a, b, c]\n")
    source = FolderSource(folder)
    assert source.info.name == name
    before = set(tmp_path.rglob("*"))
    path = cached_store(source, 8, workers=1).path
    new = set(tmp_path.rglob("*")) - before
    assert path.parent == tmp_path / "a/b/cache"
    assert {path.relative_to(tmp_path).parts[0] for path in new} == {"a"}
    assert not Path("/tmp/evil").exists()


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "\x1b[2Jgone"])
def test_a_name_that_cannot_be_shown_is_one_clear_error(mgm, tmp_path, name):
    folder = write_own(tmp_path / "photos", 12)
    (folder / "dataset.yaml").write_text(f"name: {json.dumps(name)}\nclasses: [a, b, c]\n")
    code, _, err = mgm("data", "inspect", folder)
    assert code == 2
    assert err.count("\n") == 1
    assert "dataset.yaml: name " in err
    assert "has characters that cannot be shown" in err
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


@pytest.mark.parametrize("kind", ["arrays", "checksums"])
@pytest.mark.parametrize("name", ["../outside", "/outside", ".hidden", "a\\b"])
def test_a_store_names_no_files_outside_of_it(tmp_path, kind, name):
    np.save(tmp_path / "outside.npy", np.zeros(4))
    store = build_store(FakeSource(count=4), 8, tmp_path / "store", workers=1)
    manifest = json.loads((store.path / "manifest.json").read_text())
    manifest[kind][name] = {"arrays": {"dtype": "float64", "shape": [4]}, "checksums": "0"}[kind]
    (store.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="the store is damaged"):
        open_store(store.path)


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../secret.txt"])
def test_a_folder_gives_out_no_files_outside_of_it(tmp_path, name):
    (tmp_path / "secret.txt").write_text("secret")
    tree = open_tree(write_files(tmp_path / "data", {"a/1.png": b"one"}))
    with pytest.raises(DataError, match=r"lies outside of it; mend the list of its files"):
        tree.read(name)
    with pytest.raises(DataError, match="cannot be read"):
        tree.read("a\0b")
