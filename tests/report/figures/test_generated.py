import numpy as np
import pytest
import torch
from PIL import Image

from mgm.report.figures.generated import annotated_figure, generated_figure, write_generated
from mgm.report.generation import AnnotatedImages
from mgm.tasks import make_tasks


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def test_images_stand_in_the_row_of_their_scene(tmp_path):
    levels = torch.tensor([30.0, 80.0, 130.0, 180.0])
    shades = (levels / 127.5 - 1).view(4, 1, 1, 1).expand(4, 3, 32, 32)
    generated_figure(tmp_path / "a.png", {"generated": shades}, ["bedroom", "kitchen"], 2)
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
    images = torch.zeros(2, 3, 64, 64)
    generated_figure(tmp_path / "a.png", {"before": images, "after": images}, [several, ""], 1)
    write_generated(tmp_path / "new" / "b.png", {"chair": images[:1], "": images[1:]})
    two, one = pixels(tmp_path / "a.png"), pixels(tmp_path / "new" / "b.png")
    assert two.shape[0] == one.shape[0]
    assert 100 < two.shape[1] - one.shape[1] < 300


def test_annotations_of_several_networks(tmp_path):
    tasks = make_tasks(("semantic", "depth"), ("wall", "floor"))
    maps = {"semantic": torch.ones(6, 32, 32, dtype=torch.int64), "depth": torch.rand(6, 1, 32, 32)}
    annotated = AnnotatedImages(
        torch.zeros(6, 3, 32, 32), ["kitchen"] * 6, {"mgm": maps, "annotator": {"depth": maps["depth"]}}, tasks
    )
    annotated_figure(tmp_path / "a.png", annotated)
    shown = pixels(tmp_path / "a.png")
    floor = tasks["semantic"].legend([maps["semantic"]]).classes[0].colour
    assert (shown == floor).all(-1).sum() > 6 * 80 * 80
    assert shown.shape[0] < 1300


def test_wrong_number_of_images(tmp_path):
    with pytest.raises(ValueError, match="5 images, not 3 for each of 2"):
        generated_figure(tmp_path / "a.png", {"generated": torch.zeros(5, 3, 8, 8)}, ["a", "b"], 3)
    assert not list(tmp_path.iterdir())
