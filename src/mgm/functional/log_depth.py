"""Errors of the logarithm of depth, for networks that predict metres."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgm.functional.distributed import global_sum, world_size
from mgm.functional.precision import at_least_float32

FLOOR_M = 0.1
"""Depth in metres below which the logarithm is continued linearly."""

SCALES = 4
"""Number of scales of gradient matching: distances of 1, 2, 4 and 8 pixels."""


def log_depth(metres: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Natural logarithm of depth in metres; below 0.1 m its tangent at 0.1 m, so that it is defined for any prediction.

    The slope is 1 / depth and at most 10 per metre, so gradients neither vanish, as they would with a clamp, nor explode.
    """
    metres = at_least_float32(metres)
    return torch.where(metres > FLOOR_M, metres.clamp(min=FLOOR_M).log(), metres / FLOOR_M + (math.log(FLOOR_M) - 1))


def log_error(
    prediction: Float[Tensor, "B 1 H W"], target: Float[Tensor, "B 1 H W"], mask: Bool[Tensor, "B 1 H W"]
) -> Float[Tensor, "B 1 H W"]:
    """Difference of `log_depth`, float32 or wider, and 0 where masked out; invariant to a common scale of both above 0.1 m.

    Args:
        prediction: ``[B, 1, H, W]``, metres, unbounded.
        target: Same shape; may be NaN or infinite where masked out.
        mask: Same shape, bool.
    """
    # mask before the logarithm: afterwards, the zero gradient would be multiplied by a derivative at NaN
    logarithm, true = (log_depth(torch.where(mask, metres, 1.0)) for metres in (prediction, target))
    return logarithm - true


def gradient_matching(error: Float[Tensor, "B 1 H W"], mask: Bool[Tensor, "B 1 H W"]) -> Float[Tensor, ""]:
    """Multi-scale gradient matching loss, which keeps edges sharp and surfaces smooth.

    With the error ``R`` of the logarithm, it is the mean of ``|R(x + d) - R(x)|`` over pairs of valid pixels, summed over distances
    of 1, 2, 4 and 8 pixels and both axes (Li & Snavely, CVPR 2018; four scales: Ranftl et al., 2020). The papers subsample
    images; this is the mean over all offsets of the subsampling, so it uses every pixel and is the same for a mirrored image.

    Args:
        error: ``[B, 1, H, W]``, see `log_error`.
        mask: Same shape, bool.

    Returns:
        Scalar, scaled like `mgm.functional.masked.masked_mean`; 0 with a graph if there is no pair of valid pixels.
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
