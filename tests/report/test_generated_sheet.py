import numpy as np
import pytest
import torch
from PIL import Image

from mgm.report.generated import generated_sheet


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.mark.parametrize("groups", [("before joint training", "after joint training"), ("generated",)])
def test_one_row_per_scene_and_one_block_per_group(tmp_path, groups):
    rows = {group: torch.rand(6, 3, 32, 32) * 2 - 1 for group in groups}
    generated_sheet(tmp_path / "a.png", rows, ["bed_room", "kitchen"], 3)
    sheet = pixels(tmp_path / "a.png")
    assert 2 * 160 < sheet.shape[0] < 2.6 * 160
    assert len(groups) * 3 * 160 < sheet.shape[1] < len(groups) * 3 * 190 + 200
    assert sheet.std() > 20


def test_images_stand_in_the_row_of_their_scene(tmp_path):
    levels = torch.tensor([30.0, 80.0, 130.0, 180.0])
    shades = (levels / 127.5 - 1).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    generated_sheet(tmp_path / "a.png", {"generated": shades}, ["bedroom", "kitchen"], 2)
    sheet = pixels(tmp_path / "a.png")
    places = [np.argwhere((sheet == level).all(-1)).mean(0) for level in levels.tolist()]
    (y0, x0), (y1, x1), (y2, x2), (y3, x3) = places
    assert y0 == pytest.approx(y1, abs=8)
    assert y2 == pytest.approx(y3, abs=8)
    assert y2 - y0 > 150
    assert x1 - x0 > 150
    assert x3 - x2 > 150


def test_long_names_of_several_labels_are_wrapped(tmp_path):
    several = ", ".join(["night_stand", "television", "chair", "lamp"] * 12)
    images = torch.zeros(2, 3, 64, 64)
    generated_sheet(tmp_path / "a.png", {"generated": images}, [several, ""], 1)
    generated_sheet(tmp_path / "b.png", {"generated": images}, ["chair", ""], 1)
    long, short = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert long.shape[0] == short.shape[0]
    assert 0 < long.shape[1] - short.shape[1] < 150


def test_wrong_number_of_images(tmp_path):
    with pytest.raises(ValueError, match="5 images, not 3 for each of 2"):
        generated_sheet(tmp_path / "a.png", {"generated": torch.zeros(5, 3, 8, 8)}, ["a", "b"], 3)
    assert not list(tmp_path.iterdir())
