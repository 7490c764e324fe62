"""Change of resolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mgm.functional.precision import at_least_float32


def resize_bilinear(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation of ``[B, C, h, w]`` to ``[B, C, *size]``, float32 (float64 stays), low-pass filtered where the image
    shrinks.
    """
    values = at_least_float32(values)
    if tuple(values.shape[2:]) == tuple(size):
        return values
    shrinks = size[0] < values.shape[2] or size[1] < values.shape[3]
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=shrinks)
