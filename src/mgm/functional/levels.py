"""Levels of images, of 8 or 16 bits, and the numbers that networks see."""

from __future__ import annotations

import torch
from jaxtyping import Float, Num
from torch import Tensor

from mgm.types import SHOWN_SHARES, ImageFormat

LEVEL_CENTRE = 127.5
"""Level of 8 bits that networks see as 0; levels 0 and 255 are -1 and 1."""


def level_centre(dtype: torch.dtype) -> float:
    """The level that networks see as 0: half of the largest, which for floats is that of 8 bits."""
    return 32767.5 if dtype == torch.uint16 else LEVEL_CENTRE


def normalise_levels(levels: Num[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Levels of any shape to (-1, 1), float32: 0 to 255, uint8 or float, or 0 to 65535, uint16."""
    return levels.float() / level_centre(levels.dtype) - 1


def shown_as_rgb(images: Float[Tensor, "*B C H W"], kind: ImageFormat) -> Float[Tensor, "*B 3 H W"]:
    """Images in (-1, 1) as RGB: the channels of `ImageFormat.shown`, black for -1, each image stretched if it `is_stretched`."""
    if kind.is_photograph and kind.shown == (0, 1, 2):
        return images
    present = [channel for channel in kind.shown if channel >= 0]
    shown = images[..., present, :, :]
    if kind.is_stretched:
        values = shown.flatten(-3)
        sampled = values[..., :: 1 + values.shape[-1] // 1_000_000]  # torch.quantile takes no more than 16 million
        low, high = sampled.quantile(values.new_tensor(SHOWN_SHARES), dim=-1)[..., None, None, None]
        shown = torch.where(high > low, (2 * (shown - low) / (high - low) - 1).clamp(-1, 1), shown)
    missing = torch.full_like(images[..., :1, :, :], -1)
    return torch.cat([shown, *[missing] * (3 - len(present))], dim=-3)
