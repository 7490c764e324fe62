"""Depth scores by hand, depths that are none, and zoom."""

import pytest
import torch
from torch import Tensor

from task_cases import make_task


def scores(prediction: Tensor, target: Tensor) -> dict[str, float]:
    metrics = make_task("depth").metrics()
    metrics.update(prediction.view(1, 1, 1, -1), target.view(1, 1, 1, -1))
    return metrics.compute()


def test_scores_by_hand() -> None:
    result = scores(torch.tensor([2.0, 3.0, 7.0, 9.0]), torch.tensor([1.0, 3.0, 8.0, float("nan")]))
    assert result["abs_error_m"] == pytest.approx((1 + 0 + 1) / 3)
    assert result["relative_error"] == pytest.approx((1 + 0 + 1 / 8) / 3)
    assert result["rmse_m"] == pytest.approx((2 / 3) ** 0.5)
    assert result["delta1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("prediction", "close"), [(1.2499, 1.0), (1.2501, 0.0), (0.8001, 1.0), (0.7999, 0.0)])
def test_delta_is_symmetric_in_the_ratio(prediction: float, close: float) -> None:
    assert scores(torch.tensor([prediction]), torch.tensor([1.0]))["delta1"] == close


def test_negative_predictions_are_wrong_but_harmless() -> None:
    result = scores(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 1.0]))
    assert result["abs_error_m"] == pytest.approx(1.5)
    assert result["delta1"] == 0.0


@pytest.mark.parametrize("none", [0.0, -1.0, float("inf"), float("nan")])
def test_depths_that_are_none(none: float) -> None:
    task = make_task("depth")
    target = torch.tensor([2.0, none]).view(1, 1, 1, 2)
    assert task.valid(target).flatten().tolist() == [True, False]
    prediction = torch.tensor([3.0, 3.0]).view(1, 1, 1, 2).requires_grad_()
    loss = task.loss(prediction, target)
    loss.backward()
    assert loss.item() == 1.0
    assert prediction.grad.flatten().tolist() == [1.0, 0.0]
    assert scores(prediction, target)["abs_error_m"] == 1.0
    assert task.constant([target]).item() == 2.0


def test_magnified_things_are_nearer() -> None:
    task = make_task("depth")
    target = torch.full((2, 1, 1, 1), 6.0)
    assert task.zoom(target, torch.tensor([1.5, 0.5])).flatten().tolist() == [4.0, 12.0]


def test_colours_span_the_2nd_to_98th_percentile_of_the_valid_depths() -> None:
    task = make_task("depth")
    depth = torch.linspace(1, 3, 101).view(1, 1, 1, -1)
    holes = torch.tensor([0.0, float("nan")]).view(1, 1, 1, -1)
    low, high = task.span([depth, holes])
    assert (low, high) == (pytest.approx(1.04), pytest.approx(2.96))
    near, far, beyond = (task.colour(torch.full((1, 1, 1, 1), m), (low, high)).flatten().tolist() for m in (0.5, 3, 30))
    assert far == beyond
    assert sum(near) > sum(far)
    assert len(task.colour(depth).unique()) > 100


def test_legend_prints_the_range_and_the_share_without_a_label() -> None:
    legend = make_task("depth").legend([torch.tensor([1.0, 2.0, 4.5, float("nan")]).view(1, 1, 4)])
    assert legend.text.startswith("1.00 to 4.50, median 2.00\N{NO-BREAK SPACE}m")
    assert legend.scale is not None
    assert (legend.scale.low, legend.scale.high) == ("1.04 m", "4.40 m")
    assert legend.unlabelled == 0.25


def test_depth_that_is_the_same_everywhere_has_a_scale() -> None:
    low, high = make_task("depth").span([torch.full((1, 1, 2, 2), 2.0)])
    assert low < 2 < high


def test_sums_do_not_lose_pixels() -> None:
    # in float32 a running sum of this size would stand still
    metrics = make_task("depth").metrics()
    big = torch.full((1, 1, 1, 1), 1e9)
    metrics.update(big + 1e8, big)
    for _ in range(20):
        metrics.update(torch.full((1, 1, 1, 1), 1.5), torch.ones(1, 1, 1, 1))
    assert metrics.compute()["abs_error_m"] * 21 - 1e8 == pytest.approx(10.0, abs=1e-3)
