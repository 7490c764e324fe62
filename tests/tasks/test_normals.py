"""Angles of normals by hand, the paper's coded angle, and what has no direction."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mgm.functional.vectors import encode_normals
from mgm.tasks.normals import histogram_median
from task_cases import make_task, random_prediction, random_target


def tilted(degrees: list[float]) -> Tensor:
    """``[1, 3, 1, N]``: normals turned away from the viewer by some angles."""
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack((radians.sin(), torch.zeros_like(radians), radians.cos())).view(1, 3, 1, -1)


def scores(degrees: list[float]) -> dict[str, float]:
    metrics = make_task("normal").metrics()
    target = tilted([0.0] * len(degrees))
    metrics.update(encode_normals(tilted(degrees)), target)
    return metrics.compute()


def test_scores_by_hand() -> None:
    result = scores([0.0, 10.0, 20.0, 29.0, 170.0])
    assert result["angle_deg"] == pytest.approx(229 / 5, abs=1e-4)
    assert result["angle_median_deg"] == pytest.approx(20.0, abs=0.011)
    assert result["within_11_25"] == pytest.approx(2 / 5)
    assert result["within_22_5"] == pytest.approx(3 / 5)
    assert result["within_30"] == pytest.approx(4 / 5)


def test_coded_angle_by_hand() -> None:
    # (1, 0, 0) and (0, 0, 1) are coded (1, .5, .5) and (.5, .5, 1)
    coded = math.acos((0.5 + 0.25 + 0.5) / 1.5)
    assert scores([90.0])["angle_coded_rad"] == pytest.approx(coded, abs=1e-5)


def test_coded_angle_takes_the_prediction_as_it_is() -> None:
    metrics = make_task("normal").metrics()
    raw = torch.tensor([0.2, 0.9, 0.7]).view(1, 3, 1, 1)
    metrics.update(raw, tilted([0.0]))
    truth = torch.tensor([0.5, 0.5, 1.0])
    cosine = raw.flatten() @ truth / raw.norm() / truth.norm()
    assert metrics.compute()["angle_coded_rad"] == pytest.approx(math.acos(cosine), abs=1e-5)


@given(seed=st.integers(0, 10**6), batch=st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_median_is_within_a_hundredth_of_a_degree(seed: int, batch: int) -> None:
    task = make_task("normal")
    target, prediction = random_target(task, seed, batch), random_prediction(task, seed + 1, batch)
    metrics = task.metrics()
    metrics.update(prediction, target)
    valid = task.valid(target)
    cosine = (task.decode(prediction).double() * target.double()).sum(1)[valid]
    median = cosine.clamp(-1, 1).acos().rad2deg().median()
    assert metrics.compute()["angle_median_deg"] == pytest.approx(float(median), abs=0.011)


@pytest.mark.parametrize(("counts", "median"), [([0, 3, 0], 1.5), ([1, 0, 1], 0.5), ([1, 0, 2], 2.5), ([0, 0, 1], 2.5)])
def test_histogram_median(counts: list[int], median: float) -> None:
    assert histogram_median(torch.tensor(counts, dtype=torch.float64)) == median


def test_decoded_vectors_are_unit_vectors() -> None:
    task = make_task("normal")
    prediction = random_prediction(task)
    prediction[0, :, 0, 0] = 0.5
    value = task.decode(prediction)
    torch.testing.assert_close(value.norm(dim=1), torch.ones(2, 5, 6))
    assert value[0, :, 0, 0].tolist() == [0.0, 0.0, -1.0]
    torch.testing.assert_close(task.decode(task.resize(prediction, (9, 9))).norm(dim=1), torch.ones(2, 9, 9))


def test_zero_vectors_are_no_normals() -> None:
    task = make_task("normal")
    target = tilted([0.0, 30.0])
    target[..., 1] = 0.0
    assert task.valid(target).flatten().tolist() == [True, False]


def test_mirrored_normals_point_the_other_way() -> None:
    task = make_task("normal")
    target = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]]).T.view(1, 3, 1, 2)
    assert task.flip(target).view(3, 2).T.tolist() == [[0.0, 1.0, 0.0], pytest.approx([-0.6, 0.0, 0.8])]


def test_colours_of_the_axes() -> None:
    task = make_task("normal")
    # right, up, towards the viewer; the frame is x right, y down, z forward
    axes = torch.diag(torch.tensor([1.0, -1.0, -1.0])).view(1, 3, 3, 1)
    assert task.colour(axes).squeeze().T.tolist() == [[255, 128, 128], [128, 255, 128], [128, 128, 255]]


def test_constant_is_the_mean_direction() -> None:
    task = make_task("normal")
    target = tilted([10.0, 50.0])
    torch.testing.assert_close(task.constant([target]), encode_normals(tilted([30.0])).flatten())
    assert task.constant([]).tolist() == [0.5, 0.5, 0.0]
