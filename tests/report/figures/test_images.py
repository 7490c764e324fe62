import numpy as np
import pytest
import torch

from mgm.report.figures.images import (
    decoded,
    error_pixels,
    fitted_size,
    image_pixels,
    image_score,
    value_pixels,
)
from mgm.tasks import TASKS, make_tasks


def test_images_keep_their_colours_at_any_size():
    image = torch.tensor([-1.0, 0.0, 1.5]).view(3, 1, 1).expand(3, 8, 8)
    for size in (None, (16, 16), (4, 4)):
        assert image_pixels(image, size)[3, 3].tolist() == [0, 128, 255]


def test_the_longer_side_is_fitted():
    assert fitted_size(30, 60, 120) == (60, 120)
    assert fitted_size(900, 1, 90) == (90, 1)


def test_labels_are_enlarged_without_blending_and_predictions_are_interpolated():
    task = make_tasks(("semantic",), ("wall", "floor"))["semantic"]
    logits = torch.zeros(2, 32, 32)
    logits[1, 16:] = 1
    label = decoded(task, logits)
    assert len(np.unique(value_pixels(task, label, size=(160, 160)).reshape(-1, 3), axis=0)) == 2
    assert decoded(task, logits, 160).shape == (160, 160)
    assert torch.equal(decoded(task, logits, 160), task.decode_at(logits[None], (160, 160))[0])


def test_error_maps_are_darkest_where_wrong():
    task = make_tasks(("semantic",), ("a", "b", "c"))["semantic"]
    pixels = error_pixels(task, torch.tensor([[0, 1]]), torch.tensor([[0, 2]])).astype(int)
    assert pixels[0, 1].sum() < pixels[0, 0].sum()


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if not task.categorical])
def test_the_end_of_the_error_scale_is_where_the_error_reaches_1(name):
    task = make_tasks((name,))[name]
    end = float(task.error_end.rstrip(" m°"))

    def error(amount):
        if name == "normal":
            angle = torch.tensor(amount).deg2rad()
            value = torch.stack((angle.sin(), torch.tensor(0.0), angle.cos())).view(1, 3, 1, 1)
            return task.error(value, torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)).item()
        target = torch.full((1, task.channels, 1, 1), 0.5)
        return task.error(target + amount, target).item()

    assert error(0.5 * end) == pytest.approx(0.5, abs=1e-3)
    assert error(0.98 * end) < 1
    assert error(1.02 * end) == 1


def test_the_score_of_one_image_has_its_unit():
    task = make_tasks(("depth",))["depth"]
    target = torch.full((1, 4, 4), 2.0)
    assert image_score(task, target + 0.25, target) == "0.250 m"
    assert image_score(task, target, torch.full((1, 4, 4), float("nan"))) == "–"
