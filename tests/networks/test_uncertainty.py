import math

import pytest
import torch

from mgm.networks.uncertainty import UncertaintyWeights

LOSSES = {"semantic": torch.tensor(3.0), "depth": torch.tensor(0.5)}


def test_at_first_the_plain_sum():
    assert UncertaintyWeights(("semantic", "depth"))(LOSSES).item() == 3.5


def test_formula():
    weights = UncertaintyWeights(("semantic", "depth"))
    with torch.no_grad():
        weights.log_variances["semantic"].fill_(1.2)
        weights.log_variances["depth"].fill_(-0.4)
    expected = 3 * math.exp(-1.2) + 0.6 + 0.5 * math.exp(0.4) - 0.2
    assert weights(LOSSES).item() == pytest.approx(expected)


def test_the_best_variance_is_twice_the_loss():
    """d/ds (exp(-s) L + s / 2) = 0 at exp(s) = 2 L."""
    weights = UncertaintyWeights(("depth",))
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        weights({"depth": torch.tensor(0.5)}).backward()
        optimizer.step()
    assert math.exp(weights.log_variances["depth"].item()) == pytest.approx(1.0, abs=1e-3)


def test_task_without_a_loss_counts_for_nothing():
    weights = UncertaintyWeights(("semantic", "depth"))
    weights({"depth": torch.tensor(2.0)}).backward()
    assert weights.log_variances["semantic"].grad is None
    assert weights.log_variances["depth"].grad.item() == -1.5
