"""Conversion of images, predictions and error maps to uint8 pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mgm.data.resizing import resize_levels, resize_nearest
from mgm.tasks.base import ERROR_COLOURS, Span, Task
from mgm.tasks.pictures import paint_scale
from mgm.types import Size


def fitted_size(height: int, width: int, side: int) -> Size:
    """Size with the same aspect ratio whose longer side is ``side`` pixels."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def spread_evenly(available: int, wanted: int) -> list[int]:
    """``wanted`` indices spaced evenly over ``range(available)``, or all of them if there are fewer."""
    return np.linspace(0, available - 1, min(wanted, available)).round().astype(int).tolist()


def image_pixels(image: Tensor, size: Size | None = None) -> np.ndarray:
    """Convert an image ``[3, H, W]``, RGB in (-1, 1), to ``[*size, 3]`` uint8; values are clipped."""
    levels = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return resized(levels.permute(1, 2, 0).cpu().numpy(), size)


def resized(pixels: np.ndarray, size: Size | None) -> np.ndarray:
    """Resize ``[H, W, 3]`` pixels: with averaging to a smaller size, with nearest neighbours to a larger one."""
    if size is None or pixels.shape[:2] == size:
        return pixels
    smaller = pixels.shape[0] > size[0] or pixels.shape[1] > size[1]
    return resize_levels(pixels, *size) if smaller else resize_nearest(pixels, *size)


def value_pixels(task: Task, value: Tensor, span: Span | None = None, size: Size | None = None) -> np.ndarray:
    """Render the value of one image (see `Task`), without batch dimension, in the task's colours: ``[*size, 3]`` uint8."""
    pixels = task.colour(value.detach().cpu()[None], span)[0].permute(1, 2, 0).numpy()
    return pixels if size is None else resize_nearest(pixels, *size)


def error_pixels(task: Task, value: Tensor, target: Tensor, size: Size | None = None) -> np.ndarray:
    """Render the error map of a value against its target, both without batch dimension: ``[*size, 3]`` uint8."""
    error = task.error(value.detach().cpu()[None], target.detach().cpu()[None])
    pixels = paint_scale(error[:, None], ERROR_COLOURS)[0].permute(1, 2, 0).numpy()
    return pixels if size is None else resize_nearest(pixels, *size)


def decoded(task: Task, prediction: Tensor, side: int = 0) -> Tensor:
    """Decode a prediction ``[C, H, W]`` of any floating-point type.

    If ``side`` is not 0, the prediction is first interpolated so that its longer side is ``side`` pixels, which gives smooth
    borders.
    """
    prediction = prediction.detach().float().cpu()[None]
    if not side:
        return task.decode(prediction)[0]
    return task.decode_at(prediction, fitted_size(prediction.shape[-2], prediction.shape[-1], side))[0]


def image_score(task: Task, prediction: Tensor, target: Tensor) -> str:
    """The primary metric of one prediction ``[C, H, W]`` against its ground truth, as text with unit."""
    metrics = task.metrics()
    metrics.update(prediction[None].detach().float().cpu(), target[None].detach().cpu())
    return task.metrics_info[task.primary].text(metrics.compute()[task.primary])
