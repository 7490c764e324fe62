"""Means over valid pixels: closed forms, and no trace of what is masked out."""

import pytest
import torch

from mgm.functional.masked import masked_l1, masked_mean


def test_mean_counts_valid_values_alone() -> None:
    values = torch.tensor([1.0, float("nan"), 5.0, float("inf")])
    mask = torch.tensor([True, False, True, False])
    assert masked_mean(values, mask).item() == 3.0


@pytest.mark.parametrize("hole", [float("nan"), float("inf")])
def test_l1_gradient_is_finite_beside_holes(hole: float) -> None:
    target = torch.tensor([[[[1.0, hole]]]])
    prediction = torch.zeros(1, 1, 1, 2, requires_grad=True)
    loss = masked_l1(prediction, target, target.isfinite())
    loss.backward()
    assert loss.item() == 1.0
    assert prediction.grad.flatten().tolist() == [-1.0, 0.0]


def test_nothing_valid_is_zero_with_a_graph() -> None:
    prediction = torch.randn(1, 1, 2, 2, requires_grad=True)
    loss = masked_l1(prediction, torch.full((1, 1, 2, 2), float("nan")), torch.zeros(1, 1, 2, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert not prediction.grad.any()


def test_l1_of_half_precision_is_float32() -> None:
    prediction = torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)
    target = torch.full((1, 1, 2, 2), 1.001)
    loss = masked_l1(prediction, target, torch.ones(1, 1, 2, 2, dtype=torch.bool))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, torch.tensor(1.001))
