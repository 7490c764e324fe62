"""Errors of depth in which ratios count, for networks that predict metres."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgm.functional.distributed import global_sum, world_size
from mgm.functional.precision import at_least_float32

FLOOR_M = 0.1
"""Depth below which the logarithm goes on as a straight line."""

SCALES = 4
"""Distances of the gradient matching: 1, 2, 4 and 8 pixels."""


def log_depth(metres: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Logarithm of depth, below 0.1 m its tangent there, so that it is defined for every number that a network may predict.

    The slope is 1 / depth, and 10 / m at most: gradients neither vanish, as behind a clamp, nor explode.
    """
    metres = at_least_float32(metres)
    return torch.where(metres > FLOOR_M, metres.clamp(min=FLOOR_M).log(), metres / FLOOR_M + (math.log(FLOOR_M) - 1))


def log_error(
    prediction: Float[Tensor, "B 1 H W"], target: Float[Tensor, "B 1 H W"], mask: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, "B 1 H W"]:
    """Difference of `log_depth`, at least float32; 0 where masked out. A common scale of both does not change it.

    Args:
        prediction: ``[B, 1, H, W]``, metres, any number.
        target: Same shape; may be NaN or infinite where masked out.
        mask: Same shape, bool.
    """
    # masked first: zero times a derivative at NaN would be NaN
    logarithm, true = (log_depth(torch.where(mask, metres, 1.0)) for metres in (prediction, target))
    return logarithm - true


def gradient_matching(error: Float[Tensor, "B 1 H W"], mask: Bool[Tensor, "B 1 H W"]) -> Float[Tensor, ""]:
    """How far differences between pixels are from the true ones: as a loss it keeps edges sharp and surfaces smooth.

    With ``R`` the error of the logarithm, the mean of ``|R(x + d) - R(x)|`` over pairs of valid pixels, summed over distances of 1,
    2, 4 and 8 pixels and both directions (Li & Snavely, CVPR 2018; four scales: Ranftl et al., 2020). There images are subsampled;
    this is the mean over all places at which subsampling can begin, so no pixel is left out and a mirrored image costs the same.

    Args:
        error: ``[B, 1, H, W]``, see `log_error`.
        mask: Same shape, bool.

    Returns:
        Scalar, scaled like `mgm.functional.masked.masked_mean`; 0 with a graph where no two pixels are valid.
    """
    sums: list[Tensor] = []
    counts: list[Tensor] = []
    for distance in (2**scale for scale in range(SCALES)):
        for dim in (2, 3):
            length = max(error.shape[dim] - distance, 0)
            both = _leading(mask, dim, length) & _trailing(mask, dim, length)
            difference = _trailing(error, dim, length) - _leading(error, dim, length)
            sums.append(torch.where(both, difference, 0.0).abs().sum())
            counts.append(both.sum())
    return (torch.stack(sums) * world_size() / global_sum(torch.stack(counts)).clamp(min=1)).sum()


def _leading(values: Tensor, dim: int, length: int) -> Tensor:
    return values.narrow(dim, 0, length)


def _trailing(values: Tensor, dim: int, length: int) -> Tensor:
    return values.narrow(dim, values.shape[dim] - length, length)
