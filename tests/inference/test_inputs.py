"""Which photographs a command line means."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm.errors import ConfigError
from mgm.inference.inputs import find_photographs


def test_folders_that_are_links_and_what_is_not_read(tmp_path, caplog):
    photos = tmp_path / "photos"
    for name in ("a.png", "b.PGM", "deep/c.jfif"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(photos / name, "PNG")
    (photos / "deep/d.heic").write_bytes(b"x")
    (photos / "e.txt").write_bytes(b"x")
    joined = tmp_path / "joined"
    joined.mkdir()
    (joined / "here").symlink_to(photos, target_is_directory=True)
    (joined / "loop").symlink_to(tmp_path, target_is_directory=True)
    found = find_photographs([str(joined)], [], joined / "out")
    assert [photograph.name for photograph in found] == ["here/a", "here/b", "here/deep/c"]
    assert f"{joined}: not read: 1 .heic, 1 .txt" in caplog.text.replace("1 .txt, 1 .heic", "1 .heic, 1 .txt")


@pytest.mark.parametrize("argument", ["photos", "photos/*.png", "elsewhere/../photos"])
def test_results_must_not_lie_among_the_photographs(tmp_path, monkeypatch, argument):
    (tmp_path / "photos").mkdir()
    (tmp_path / "elsewhere").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "photos/a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="photos is the folder of the images; .*such as photos/predictions"):
        find_photographs([argument], [], Path("photos"))
    for out in ("photos/predictions", "."):
        assert len(find_photographs([argument], [], Path(out))) == 1
    assert find_photographs(["photos/a.png"], [], Path("photos"))
