"""Colour maps and palettes: values to RGB images."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

INVALID_COLOUR = (40, 40, 40)
"""RGB of a pixel without a value: dark grey."""

MAX_CLASSES = 255
"""Label maps are stored in 8 bits, and 255 marks a pixel without a class."""

DISC_SIDE = 72
"""Side of the disc in legends of vectors, in pixels."""

_RGB_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_CONES_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def paint(unit_rgb: Tensor) -> Tensor:
    """RGB in [0, 1] to uint8, ``[B, 3, H, W]``: clipped, and dark grey where any channel is not finite."""
    known = unit_rgb.isfinite().all(dim=1, keepdim=True)
    levels = (unit_rgb.clamp(0, 1) * 255).round()
    grey = levels.new_tensor(INVALID_COLOUR).view(1, 3, 1, 1)
    return torch.where(known, levels, grey).to(torch.uint8)


def paint_scale(position: Tensor, colormap: str) -> Tensor:
    """Colour positions on a scale, ``[B, 3, H, W]`` uint8.

    Args:
        position: ``[B, 1, H, W]``, 0 at the start of the scale and 1 at its end; clipped; dark grey where not finite.
        colormap: Name of a matplotlib colormap.
    """
    known = position.isfinite()
    index = torch.where(known, position.clamp(0, 1) * 255, 0.0).round().long().squeeze(1)
    colours = torch.from_numpy(colours_of(colormap)).to(position.device)[index].movedim(-1, 1)
    grey = colours.new_tensor(INVALID_COLOUR).view(1, 3, 1, 1)
    return torch.where(known, colours, grey)


def paint_vectors(vectors: Tensor, longest: float) -> Tensor:
    """Colour image-plane vectors as is usual for optical flow (Baker et al., 2011), ``[B, 3, H, W]`` uint8.

    The hue is the direction, with red to the right and yellow-green down. The saturation is the length: 0 is white.

    Args:
        vectors: ``[B, 2, H, W]``, x to the right and y down; dark grey where not finite.
        longest: Length at and above which colours are fully saturated.
    """
    sixths = torch.atan2(vectors[:, 1:], vectors[:, :1]) * (3 / math.pi)  # of the hue circle, [B, 1, H, W]
    turned = (sixths + sixths.new_tensor([0.0, 4.0, 2.0]).view(1, 3, 1, 1)) % 6
    pure = ((turned - 3).abs() - 1).clamp(0, 1)
    saturation = (vectors.square().sum(dim=1, keepdim=True).sqrt() / longest).clamp(max=1)
    return paint(1 - saturation * (1 - pure))


def disc() -> tuple[Tensor, Tensor]:
    """A unit disc for legends of vectors: x and y ``[2, S, S]``, and opacity ``[S, S]`` uint8, with S = `DISC_SIDE`."""
    across = torch.linspace(-1.02, 1.02, DISC_SIDE).expand(DISC_SIDE, DISC_SIDE)
    places = torch.stack((across, across.T))
    return places, 255 * (places.square().sum(dim=0) <= 1).to(torch.uint8)


def paint_classes(labels: Tensor, colours: np.ndarray) -> Tensor:
    """Colour class indices ``[B, H, W]`` by ``colours`` ``[K, 3]``: ``[B, 3, H, W]`` uint8; other indices are dark grey."""
    known = (labels >= 0) & (labels < len(colours))
    table = torch.from_numpy(np.concatenate([colours, np.array([INVALID_COLOUR], dtype=np.uint8)])).to(labels.device)
    return table[torch.where(known, labels, len(colours)).long()].movedim(-1, 1)


@lru_cache
def colours_of(name: str) -> np.ndarray:
    """``[256, 3]`` uint8: the colours of a matplotlib colormap, from low to high."""
    import matplotlib

    return (matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)


def palette(num_classes: int) -> np.ndarray:
    """``[num_classes, 3]`` uint8: colours as far apart as possible from each other, from dark grey and from white.

    The colour of a class does not depend on ``num_classes``.

    Raises:
        ValueError: If there are more classes than `MAX_CLASSES`.
    """
    if num_classes > MAX_CLASSES:
        raise ValueError(f"there are {MAX_CLASSES} colours, not {num_classes}")
    return _all_colours()[:num_classes].copy()


@lru_cache
def _all_colours() -> np.ndarray:
    """Choose colours greedily: each is the candidate whose nearest already chosen colour is farthest in OKLab.

    Candidates have a lightness of at least 0.35: on most screens, darker colours look alike and resemble missing pixels.
    """
    levels = np.linspace(0, 255, 12).round()
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    candidates = candidates[_oklab(candidates)[:, 0] >= 0.35]
    places = _oklab(candidates)
    taken = _oklab(np.array([INVALID_COLOUR, (255, 255, 255)]))
    distance = np.linalg.norm(places[:, None] - taken, axis=2).min(axis=1)
    chosen: list[int] = []
    for _ in range(MAX_CLASSES):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return candidates[chosen].astype(np.uint8)


def _oklab(rgb: np.ndarray) -> np.ndarray:
    """Convert ``[N, 3]`` 8-bit sRGB to the perceptual space OKLab (B. Ottosson, 2020, bottosson.github.io/posts/oklab)."""
    unit = rgb / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ _RGB_TO_CONES.T)
    return cones @ _CONES_TO_LAB.T
