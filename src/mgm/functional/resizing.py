"""Resizing of images and feature maps, and sampling grids of windows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mgm.functional.precision import at_least_float32
from mgm.types import Size


def resize_bilinear(values: Float[Tensor, "B C _ _"], size: tuple[int, int]) -> Float[Tensor, "B C _ _"]:
    """Bilinear interpolation of ``[B, C, h, w]`` to ``[B, C, *size]``, float32 (float64 is kept), antialiased when shrinking."""
    values = at_least_float32(values)
    if tuple(values.shape[2:]) == tuple(size):
        return values
    shrinks = size[0] < values.shape[2] or size[1] < values.shape[3]
    return F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=shrinks)


def enlarged_rows(
    values: Float[Tensor, "B C _ W"], top: int, count: int, height: int
) -> Float[Tensor, "B C {count} W"]:
    """A band of the rows that `resize_bilinear` gives when upsampling along the vertical axis only.

    Args:
        values: ``[B, C, h, w]``, float, with ``h <= height``.
        top: Index of the first row of the band.
        count: Number of rows of the band.
        height: Number of rows of the whole result.

    Returns:
        ``[B, C, count, w]``, float32 (float64 is kept).
    """
    values = at_least_float32(values)
    last = values.shape[-2] - 1
    place = torch.arange(top, top + count, dtype=torch.float64)
    place = ((place + 0.5) * (values.shape[-2] / height) - 0.5).clamp(0, last)
    above = place.long()
    share = (place - above).to(values)[:, None]
    above = above.to(values.device)
    return torch.lerp(values[..., above, :], values[..., (above + 1).clamp(max=last), :], share)


def window_grid(
    half_sides: Float[Tensor, "B 2"], centres: Float[Tensor, "B 2"], size: Size
) -> Float[Tensor, "B H W 2"]:
    """Sampling grid ``[B, H, W, 2]`` of windows in images, for `torch.nn.functional.grid_sample` with ``align_corners=False``.

    Args:
        half_sides: ``[B, 2]``: half the width and height of each window; the image spans -1 .. 1; negative: mirrored.
        centres: ``[B, 2]``: x and y of the windows' centres.
        size: Height and width of the windows in pixels.
    """
    height, width = size
    down, across = ((2 * torch.arange(side, device=half_sides.device) + 1) / side - 1 for side in size)
    x, y = (centres[:, i, None] + half_sides[:, i, None] * middles for i, middles in ((0, across), (1, down)))
    return torch.stack([x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=-1)
