"""Images, predictions and error maps as uint8 pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgm.data.images import resize_levels, resize_nearest
from mgm.tasks.base import ERROR_COLOURS, Span, Task
from mgm.tasks.pictures import paint_scale

Size = tuple[int, int]
"""Height and width in pixels."""


def fitted_size(height: int, width: int, side: int) -> Size:
    """The size of the same shape whose longer side has ``side`` pixels."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def spread_evenly(available: int, wanted: int) -> list[int]:
    """As many of the indices below ``available`` as are wanted, or all, over the whole range."""
    return np.linspace(0, available - 1, min(wanted, available)).round().astype(int).tolist()


def image_pixels(image: Tensor, size: Size | None = None) -> np.ndarray:
    """An image ``[3, H, W]``, RGB in (-1, 1), as ``[*size, 3]`` uint8; values are clipped."""
    levels = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return resized(levels.permute(1, 2, 0).cpu().numpy(), size)


def resized(pixels: np.ndarray, size: Size | None) -> np.ndarray:
    """``[H, W, 3]`` pixels at another size: averaged where they become fewer, repeated where they become more."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    smaller = pixels.shape[0] > size[0] or pixels.shape[1] > size[1]
    return resize_levels(pixels, *size) if smaller else resize_nearest(pixels, *size)


def value_pixels(task: Task, value: Tensor, span: Span | None = None, size: Size | None = None) -> np.ndarray:
    """A value of one image (see `Task`), without batch dimension, in the task's colours: ``[*size, 3]`` uint8."""
    pixels = task.colour(value.detach().cpu()[None], span)[0].permute(1, 2, 0).numpy()
    return pixels if size is None else resize_nearest(pixels, *size)


def error_pixels(task: Task, value: Tensor, target: Tensor, size: Size | None = None) -> np.ndarray:
    """Where and how much a value errs, both without batch dimension: ``[*size, 3]`` uint8."""
    error = task.error(value.detach().cpu()[None], target.detach().cpu()[None])
    pixels = paint_scale(error[:, None], ERROR_COLOURS)[0].permute(1, 2, 0).numpy()
    return pixels if size is None else resize_nearest(pixels, *size)


def decoded(task: Task, prediction: Tensor, side: int = 0) -> Tensor:
    """The value of a prediction ``[C, H, W]`` of any floating-point type.

    Where ``side`` is not 0 it is interpolated before decoding, so that the longer side has this many pixels and borders are smooth.
    """
    prediction = prediction.detach().float().cpu()[None]
    if not side:
        return task.decode(prediction)[0]
    return task.decode_at(prediction, fitted_size(prediction.shape[-2], prediction.shape[-1], side))[0]


def image_score(task: Task, prediction: Tensor, target: Tensor) -> str:
    """The task's primary metric on one image, with its unit, of a prediction ``[C, H, W]`` and the ground truth."""
    metrics = task.metrics()
    metrics.update(prediction[None].detach().float().cpu(), target[None].detach().cpu())
    return task.metrics_info[task.primary].text(metrics.compute()[task.primary])
