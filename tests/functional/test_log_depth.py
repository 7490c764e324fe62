"""The logarithm of depth."""

import math

import torch

from mgm.functional.log_depth import log_depth


def test_logarithm_goes_on_as_its_tangent() -> None:
    metres = torch.tensor([-3.0, 0.0, 0.0999, 0.1001, 1.0, 8.0], dtype=torch.float64, requires_grad=True)
    logarithm = log_depth(metres)
    (slope,) = torch.autograd.grad(logarithm.sum(), metres)
    expected = [math.log(0.1) - 31, math.log(0.1) - 1, math.log(0.1) - 1e-3, math.log(0.1001), 0.0, math.log(8)]
    torch.testing.assert_close(logarithm.tolist(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(slope.tolist(), [10.0, 10.0, 10.0, 1 / 0.1001, 1.0, 1 / 8])
