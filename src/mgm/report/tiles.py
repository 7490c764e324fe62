"""Photographs, values and error maps as tiles of one size."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from mgm.data.images import resize_nearest, resize_rgb
from mgm.tasks.base import Task
from mgm.tasks.pictures import paint_scale

GAP = 4
"""White pixels between neighbouring tiles."""
LEAST_SIDE = 160
"""Tiles are enlarged by a whole factor until their longer side has this many pixels."""
LARGEST_SIDE = 640
"""Larger pictures are scaled down."""
BLANK_GREY = 225
ERROR_COLOURS = "YlOrRd"


def tile_size(height: int, width: int, least: int = LEAST_SIDE) -> tuple[int, int]:
    """Height and width in which pictures of ``height`` x ``width`` pixels are shown, the longer one at least ``least``."""
    longest = max(height, width)
    if longest > LARGEST_SIDE:
        scale = LARGEST_SIDE / longest
        return max(1, round(height * scale)), max(1, round(width * scale))
    factor = max(1, math.ceil(least / longest))
    return height * factor, width * factor


def photograph(image: Tensor, size: tuple[int, int]) -> np.ndarray:
    """An image as a tile.

    Args:
        image: ``[3, H, W]``, RGB in (-1, 1); clipped.
        size: Height and width of the tile.

    Returns:
        ``[*size, 3]``, uint8.
    """
    levels = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pixels = levels.permute(1, 2, 0).cpu().numpy()
    if pixels.shape[0] > size[0] or pixels.shape[1] > size[1]:
        return resize_rgb(pixels, *size)
    return resize_nearest(pixels, *size)


def coloured(task: Task, value: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A value (see `Task`) of one image, without batch dimension, in the task's colours: ``[*size, 3]``, uint8."""
    return _tile(task.colour(value.detach().cpu()[None]), size)


def predicted(task: Task, prediction: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A prediction ``[C, H, W]`` of one image in the task's colours: ``[*size, 3]``, uint8.

    It is brought to the tile's own size before it is decoded, as `mgm predict` does, so that borders and slopes are not blocks of
    enlarged pixels.
    """
    return coloured(task, task.decode_at(prediction.detach().float().cpu()[None], size)[0], size)


def error_map(task: Task, value: Tensor, target: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Where and how much a value errs, both without batch dimension: ``[*size, 3]``, uint8; pixels as they are scored."""
    error = task.error(value.detach().cpu()[None], target.detach().cpu()[None])
    return _tile(paint_scale(error[:, None], ERROR_COLOURS), size)


def blank(size: tuple[int, int]) -> np.ndarray:
    """A light grey tile where there is nothing to show."""
    return np.full((*size, 3), BLANK_GREY, dtype=np.uint8)


def _tile(colours: Tensor, size: tuple[int, int]) -> np.ndarray:
    return resize_nearest(colours[0].permute(1, 2, 0).cpu().numpy(), *size)
