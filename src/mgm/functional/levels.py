"""Levels of images, of 8 or 16 bits, and the numbers that networks see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor

LEVEL_CENTRE = 127.5
"""Level of 8 bits that networks see as 0; levels 0 and 255 are -1 and 1."""


def level_centre(dtype: torch.dtype) -> float:
    """The level that networks see as 0: half of the largest, which for floats is that of 8 bits."""
    return 32767.5 if dtype == torch.uint16 else LEVEL_CENTRE


def normalise_levels(levels: Num[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Levels of any shape to (-1, 1), float32: 0 to 255, uint8 or float, or 0 to 65535, uint16."""
    return levels.float() / level_centre(levels.dtype) - 1


def shown_as_rgb(images: Float[Tensor, "*B C H W"], channels: Sequence[int]) -> Float[Tensor, "*B 3 H W"]:
    """Images in (-1, 1) as RGB: the channels of `ImageFormat.shown`, black for -1."""
    if images.shape[-3] == 3 and tuple(channels) == (0, 1, 2):
        return images
    black = torch.full_like(images[..., 0, :, :], -1)
    return torch.stack([images[..., channel, :, :] if channel >= 0 else black for channel in channels], dim=-3)
