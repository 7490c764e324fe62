"""Conversion of 8- and 16-bit images to the range of the networks, and to RGB for display."""

from __future__ import annotations

import torch
from jaxtyping import Float, Num
from torch import Tensor

from mgm.types import SHOWN_SHARES, ImageFormat

LEVEL_CENTRE = 127.5
"""8-bit value that is mapped to 0; 0 and 255 are mapped to -1 and 1."""


def level_centre(dtype: torch.dtype) -> float:
    """The stored value that is mapped to 0: half the maximum of the dtype; floats count as 8-bit values."""
    return 32767.5 if dtype == torch.uint16 else LEVEL_CENTRE


def normalise_levels(levels: Num[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Map stored values of any shape to (-1, 1), float32: uint8 or float from 0 .. 255, uint16 from 0 .. 65535."""
    return levels.float() / level_centre(levels.dtype) - 1


def shown_as_rgb(images: Float[Tensor, "*B C H W"], kind: ImageFormat) -> Float[Tensor, "*B 3 H W"]:
    """Convert images in (-1, 1) to RGB for display.

    Args:
        images: ``[..., C, H, W]`` in (-1, 1).
        kind: Format of the images: ``shown`` selects the channels, and ``is_stretched`` stretches the contrast of each image.

    Returns:
        ``[..., 3, H, W]`` in (-1, 1).
    """
    if kind.is_photograph and kind.shown == (0, 1, 2):
        return images
    present = [channel for channel in kind.shown if channel >= 0]
    shown = images[..., present, :, :]
    if kind.is_stretched:
        values = shown.flatten(-3)
        sampled = values[..., :: 1 + values.shape[-1] // 1_000_000]  # torch.quantile accepts at most 16 million values
        low, high = sampled.quantile(values.new_tensor(SHOWN_SHARES), dim=-1)[..., None, None, None]
        shown = torch.where(high > low, (2 * (shown - low) / (high - low) - 1).clamp(-1, 1), shown)
    missing = torch.full_like(images[..., :1, :, :], -1)
    return torch.cat([shown, *[missing] * (3 - len(present))], dim=-3)
