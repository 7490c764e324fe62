"""Conversion of 8- and 16-bit images to the range of the networks, and to RGB for display."""

from __future__ import annotations

import numpy as np
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


def rgb_of(levels: np.ndarray, kind: ImageFormat) -> np.ndarray:
    """Convert an image ``[H, W, C]`` to RGB for display, ``[H, W, 3]`` uint8; see `ImageFormat.show` and `is_stretched`."""
    if kind.is_photograph and kind.shown == (0, 1, 2):
        return levels
    present = [channel for channel in kind.shown if channel >= 0]
    low, high = 0.0, float(np.iinfo(kind.dtype).max)
    if kind.is_stretched:
        step = 1 + levels.shape[0] * levels.shape[1] // 1_000_000
        darkest, brightest = np.quantile(levels[..., present].reshape(-1, len(present))[::step], SHOWN_SHARES)
        low, high = (darkest, brightest) if darkest < brightest else (low, high)
    shown = np.zeros((*levels.shape[:2], 3), np.uint8)
    for place, channel in enumerate(present):  # one channel at a time: as floats they take more memory
        shares = (levels[..., channel].astype(np.float32) - low) / (high - low)
        shown[..., place] = (255 * shares).clip(0, 255).round()
    return shown


def shown_as_rgb(images: Float[Tensor, "*B C H W"], kind: ImageFormat) -> Float[Tensor, "*B 3 H W"]:
    """`rgb_of` for images in (-1, 1), such as generated ones; the result is in (-1, 1) too."""
    if kind.is_photograph and kind.shown == (0, 1, 2):
        return images
    top = np.iinfo(kind.dtype).max
    levels = ((images + 1) * top / 2).round().clamp(0, top).cpu().numpy().astype(kind.dtype)
    flat = np.moveaxis(levels, -3, -1).reshape(-1, *images.shape[-2:], images.shape[-3])
    shown = np.moveaxis(np.stack([rgb_of(image, kind) for image in flat]), -1, -3)
    return normalise_levels(
        torch.from_numpy(shown.reshape(*images.shape[:-3], 3, *images.shape[-2:])).to(images.device)
    )
