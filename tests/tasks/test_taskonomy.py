"""The L1 metric by hand, and the pictures of coded values."""

import pytest
import torch

from task_cases import make_task

NAMES = ["edge_texture", "reshading", "principal_curvature"]


@pytest.mark.parametrize("name", NAMES)
def test_l1_is_a_mean_over_valid_pixels_and_channels(name: str) -> None:
    task = make_task(name)
    target = torch.full((1, task.channels, 1, 3), 0.5)
    target[:, -1, :, 2] = float("nan")  # one channel is enough
    prediction = torch.full_like(target, 0.6)
    prediction[..., 1] = 0.9
    metrics = task.metrics()
    metrics.update(prediction, target)
    assert metrics.compute()["l1"] == pytest.approx(0.25)
    assert task.loss(prediction, target).item() == pytest.approx(0.25)


def test_curvature_diverges_from_grey() -> None:
    task = make_task("principal_curvature")
    value = torch.tensor([[0.5, 0.5], [1.0, 0.5], [0.5, 0.0]]).T.view(1, 2, 1, 3)
    assert task.colour(value)[0, :, 0].T.tolist() == [[128, 128, 128], [255, 128, 128], [128, 0, 128]]


@pytest.mark.parametrize("name", NAMES[:2])
def test_grey_pictures(name: str) -> None:
    picture = make_task(name).colour(torch.tensor([0.0, 1.0, 2.0]).view(1, 1, 1, 3))
    assert picture[0, :, 0].T.tolist() == [[0, 0, 0], [255, 255, 255], [255, 255, 255]]
