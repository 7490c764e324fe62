"""Change of resolution."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.precision import at_least_float32


def resize_bilinear(values: Float[Tensor, "B C _ _"], size: tuple[int, int]) -> Float[Tensor, "B C _ _"]:
    """Bilinear interpolation of ``[B, C, h, w]`` to ``[B, C, *size]``, float32 (float64 stays), low-pass filtered where the image
    shrinks.
    """
    values = at_least_float32(values)
    if tuple(values.shape[2:]) == tuple(size):
        return values
    shrinks = size[0] < values.shape[2] or size[1] < values.shape[3]
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def enlarged_rows(
    values: Float[Tensor, "B C _ W"], top: int, count: int, height: int
) -> Float[Tensor, "B C {count} W"]:
    """Some of the rows that `resize_bilinear` makes where it enlarges, along this axis alone.

    Args:
        values: ``[B, C, h, w]``, float, with ``h <= height``.
        top: The first row.
        count: Number of rows.
        height: Number of rows of the whole.

    Returns:
        ``[B, C, count, w]``, float32 (float64 stays).
    """
    values = at_least_float32(values)
    last = values.shape[-2] - 1
    place = torch.arange(top, top + count, dtype=torch.float64)
    place = ((place + 0.5) * (values.shape[-2] / height) - 0.5).clamp(0, last)
    above = place.long()
    share = (place - above).to(values)[:, None]
    above = above.to(values.device)
    return torch.lerp(values[..., above, :], values[..., (above + 1).clamp(max=last), :], share)
