"""Which photographs a command line means."""

import numpy as np
from PIL import Image

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
