import numpy as np
import pytest
import torch

from fake_runs import pixels
from mgm.report.figures.paper import generated_figure


def test_images_stand_in_the_row_of_their_scene(tmp_path):
    levels = torch.tensor([30.0, 80.0, 130.0, 180.0])
    shades = (levels / 127.5 - 1).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    generated_figure(tmp_path / "a.png", {"generated": {"bedroom": shades[:2], "kitchen": shades[2:]}})
    sheet = pixels(tmp_path / "a.png")
    places = [np.argwhere((sheet == level).all(-1)).mean(0) for level in levels.tolist()]
    (y0, x0), (y1, x1), (y2, x2), (y3, x3) = places
    assert y0 == pytest.approx(y1, abs=8)
    assert y2 == pytest.approx(y3, abs=8)
    assert y2 - y0 > 100
    assert x1 - x0 > 100
    assert x3 - x2 > 100


def test_groups_stand_beside_each_other_with_names_of_scenes_wrapped(tmp_path):
    several = ", ".join(["night_stand", "television", "chair", "lamp"] * 12)
    image = torch.zeros(1, 3, 64, 64)
    generated_figure(tmp_path / "a.png", {title: {several: image, "": image} for title in ("before", "after")})
    generated_figure(tmp_path / "new" / "b.png", {"": {"chair": image, "": image}})
    two, one = pixels(tmp_path / "a.png"), pixels(tmp_path / "new" / "b.png")
    assert two.shape[0] == one.shape[0]
    assert 100 < two.shape[1] - one.shape[1] < 300
