"""Losses of depth in which ratios count, for networks that predict metres."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mgm.functional.distributed import global_sum, world_size
from mgm.functional.masked import masked_l1
from mgm.functional.precision import at_least_float32

FLOOR_M = 0.1
"""Depth below which the logarithm goes on as a straight line."""

SCALES = 4
"""Distances of the gradient matching: 1, 2, 4 and 8 pixels."""


def log_depth(metres: Tensor) -> Tensor:
    """Logarithm of depth, defined for every number: below 0.1 m it is its tangent there.

    A network that predicts metres may well predict 0 or less. The slope is 1 / depth, and 10 / m at most, so gradients
    neither vanish (as behind a clamp) nor explode.
    """
    metres = at_least_float32(metres)
    return torch.where(metres > FLOOR_M, metres.clamp(min=FLOOR_M).log(), metres / FLOOR_M + (math.log(FLOOR_M) - 1))


def log_depth_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference of `log_depth`, which no common scale of both changes.

    Args:
        prediction: ``[B, 1, H, W]``, metres, any number.
        target: Same shape; may be NaN or infinite where masked out.
        mask: Same shape, bool.

    Returns:
        Scalar, at least float32, scaled like `masked_mean`; 0 with a graph if nothing is valid.
    """
    return masked_l1(*_logarithms(prediction, target, mask), mask)


def gradient_matching_loss(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """How far differences between pixels are from the true ones, for `log_depth`: it keeps edges sharp and surfaces smooth.

    The sum over distances of 1, 2, 4 and 8 pixels, and over both directions, of the mean of ``|R(x + d) - R(x)|`` over
    pairs of valid pixels, ``R`` being the error of the logarithm (Li & Snavely, CVPR 2018; with four scales in Ranftl et
    al., 2020). There images are subsampled; this is the mean over all places at which subsampling can begin, so that
    no pixel is left out and a mirrored image costs the same.

    Args and result are those of `log_depth_loss`.
    """
    logarithm, true = _logarithms(prediction, target, mask)
    error = logarithm - true
    sums, counts = [], []
    for distance in (2**scale for scale in range(SCALES)):
        for dim in (2, 3):
            length = max(error.shape[dim] - distance, 0)
            begin, end = (error.narrow(dim, start, length) for start in (0, error.shape[dim] - length))
            both = mask.narrow(dim, 0, length) & mask.narrow(dim, mask.shape[dim] - length, length)
            sums.append(torch.where(both, end - begin, 0.0).abs().sum())
            counts.append(both.sum())
    return (torch.stack(sums) * world_size() / global_sum(torch.stack(counts)).clamp(min=1)).sum()


def _logarithms(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Of both, 0 (of 1 m) where masked out, since zero times a derivative at NaN would be NaN."""
    logarithm, true = (log_depth(torch.where(mask, metres, 1.0)) for metres in (prediction, target))
    return logarithm, true
