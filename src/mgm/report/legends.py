"""What the colours of a task mean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from mgm.report.canvas import FAINT_INK, Canvas, Caption, shorten, text_width
from mgm.report.tiles import ERROR_COLOURS
from mgm.tasks.base import Task
from mgm.tasks.depth import PICTURE_RANGE_M
from mgm.tasks.normals import ERROR_SCALE_DEG, SurfaceNormals
from mgm.tasks.pictures import paint_scale
from mgm.tasks.segmentation import SemanticSegmentation
from mgm.tasks.taskonomy import ERROR_SCALE

VALUE_ENDS = {"depth": f"{PICTURE_RANGE_M:g} m"}
"""Task -> what the far end of its colour scale stands for; 1 for every other task."""
ERROR_ENDS = {"depth": "1 m", "normal": f"{ERROR_SCALE_DEG:g}°"} | dict.fromkeys(
    ("edge_texture", "reshading", "principal_curvature"), f"{ERROR_SCALE:g}"
)
"""Task -> what the end of the scale of its error maps stands for; a class is right or wrong, without a scale."""
FONT = 12
LINE = 17
SWATCH = 11
CLASS_WIDTH = 92
"""Least width of a column of class names."""
BAR_WIDTH = 12


def has_classes(task: Task) -> bool:
    """Whether values are class indices, so that the legend is a list of names (other tasks may know the names too)."""
    return isinstance(task, SemanticSegmentation)


def classes_seen(task: Task, values: Iterable[Tensor]) -> list[int]:
    """Indices of the classes in maps of labels, the most frequent first; empty for a task without classes."""
    if not has_classes(task):
        return []
    counts = torch.zeros(len(task.classes), dtype=torch.int64)
    for value in values:
        known = value[(value >= 0) & (value < len(counts))].flatten().cpu()
        counts += torch.bincount(known, minlength=len(counts))
    return [index for index in counts.argsort(descending=True, stable=True).tolist() if counts[index] > 0]


def legend_height(task: Task, seen: list[int], width: int) -> int:
    """Pixels that `draw_legend` needs to show everything in the given width."""
    if not has_classes(task):
        return 100
    columns = max(1, width // CLASS_WIDTH)
    return LINE * max(1, -(-len(seen) // columns))


def class_colours(task: Task, indices: list[int]) -> np.ndarray:
    """``[N, 3]`` uint8: the colours of some classes."""
    if not indices:
        return np.empty((0, 3), np.uint8)
    return task.colour(torch.tensor(indices).view(1, 1, -1))[0, :, 0].T.numpy()


def scale_end(task: Task) -> tuple[float, str]:
    """What the far end of a task's colour scale stands for, and in which unit."""
    number, _, unit = VALUE_ENDS.get(task.name, "1").partition(" ")
    return float(number), unit


def scale_colours(task: Task, length: int) -> np.ndarray:
    """``[length, 3]`` uint8: the colours of a task with one channel, from 0 to the end of its scale."""
    positions = torch.linspace(0, scale_end(task)[0], length).view(1, 1, 1, -1)
    return task.colour(positions)[0, :, 0].T.numpy()


def error_colours(length: int) -> np.ndarray:
    """``[length, 3]`` uint8: the colours of error maps, from right to wrong."""
    return paint_scale(torch.linspace(0, 1, length).view(1, 1, 1, -1), ERROR_COLOURS)[0, :, 0].T.numpy()


def pair_colours(task: Task, side: int) -> np.ndarray:
    """``[side, side, 3]`` uint8: colours of all pairs of values in [0, 1], the first to the right and the second up."""
    across = torch.linspace(0, 1, side).expand(side, side)
    return task.colour(torch.stack((across, across.T.flip(0)))[None])[0].permute(1, 2, 0).numpy()


def ball_colours(task: Task, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A ball as the viewer sees it, in the colours of its normals.

    Returns:
        ``[side, side, 3]`` uint8, and ``[side, side]`` bool: what of it is ball.
    """
    across = torch.linspace(-1.02, 1.02, side).expand(side, side)
    up = -across.T
    square = across**2 + up**2
    ball = task.colour(torch.stack((across, -up, -(1 - square).clamp(min=0).sqrt()))[None])[0]
    return ball.permute(1, 2, 0).numpy(), (square <= 1).numpy()


def draw_legend(canvas: Canvas, task: Task, seen: list[int], box: tuple[int, int, int, int], *, errors: bool) -> None:
    """Explain the colours of a task, and those of its error maps.

    Values of three channels or more that are no normals have colours that no small picture explains; they get none.

    Args:
        canvas: Where to draw.
        task: Whose colours.
        seen: Classes to name, from `classes_seen`.
        box: x, y, width and height to stay within.
        errors: Whether the error maps are explained too.
    """
    x, y, width, height = box
    if has_classes(task):
        _draw_classes(canvas, task, seen, box)
        return
    shown = min(height, 150)
    if isinstance(task, SurfaceNormals):
        _draw_sphere(canvas, task, x, y, shown)
    elif task.channels == 1:
        _draw_scale(canvas, task, x, y, shown)
    elif task.channels == 2:
        _draw_square(canvas, task, x, y, shown)
    if errors and task.name in ERROR_ENDS:
        _draw_errors(canvas, x + width, y, shown, f"≥ {ERROR_ENDS[task.name]}")


def _draw_classes(canvas: Canvas, task: Task, seen: list[int], box: tuple[int, int, int, int]) -> None:
    """Swatches with names, column by column; what does not fit is counted."""
    x, y, width, height = box
    columns, lines = max(1, width // CLASS_WIDTH), max(1, height // LINE)
    space = columns * lines
    named = seen if len(seen) <= space else seen[: space - 1]
    lines = min(lines, -(-len(seen) // columns)) if len(seen) <= space else lines
    colours = class_colours(task, named)
    places = [(x + index // lines * (width // columns), y + index % lines * LINE) for index in range(len(named) + 1)]
    for (left, top), index, colour in zip(places, named, colours, strict=False):
        canvas.picture(np.full((SWATCH, SWATCH, 3), colour, np.uint8), left + 1, top + 2, frame=True)
        name = shorten(task.classes[index], width // columns - SWATCH - 8, FONT)
        canvas.caption(Caption(name, left + SWATCH + 5, top + 1, FONT))
    if len(named) < len(seen):
        left, top = places[-1]
        canvas.caption(Caption(f"+ {len(seen) - len(named)} more", left, top + 1, FONT, colour=FAINT_INK))


def _draw_scale(canvas: Canvas, task: Task, x: int, y: int, height: int) -> None:
    """A bar of the task's colours, its end on top."""
    number, unit = scale_end(task)
    bar = scale_colours(task, height - FONT)[::-1, None]
    _draw_bar(canvas, bar, x, y + FONT // 2, ("0", f"{number / 2:g}", f"{number:g} {unit}".strip()))


def _draw_errors(canvas: Canvas, right: int, y: int, height: int, end: str) -> None:
    """A bar of the colours of error maps, ending at ``right``."""
    bar = error_colours(height - FONT)[::-1, None]
    left = right - BAR_WIDTH - 6 - int(np.ceil(text_width(end, FONT)))
    _draw_bar(canvas, bar, left, y + FONT // 2, ("0", "error", end))


def _draw_bar(canvas: Canvas, bar: np.ndarray, x: int, y: int, labels: tuple[str, str, str]) -> None:
    """A vertical bar from ``[H, 1, 3]`` colours, with labels at its foot, middle and top."""
    canvas.picture(bar.repeat(BAR_WIDTH, axis=1), x, y, frame=True)
    for label, place in zip(labels, (1.0, 0.5, 0.0), strict=True):
        canvas.caption(Caption(label, x + BAR_WIDTH + 6, y + place * len(bar) - FONT * 0.5, FONT))


def _draw_square(canvas: Canvas, task: Task, x: int, y: int, height: int) -> None:
    """Colours of all pairs of values, with the names of the axes."""
    side = min(64, height - 2 * LINE)
    canvas.picture(pair_colours(task, side), x + LINE, y, frame=True)
    canvas.caption(Caption("first →", x + LINE, y + side + 3, FONT))
    canvas.caption(Caption("second →", x + LINE // 2 - 2, y + side / 2, FONT, upright=True))


def _draw_sphere(canvas: Canvas, task: Task, x: int, y: int, height: int) -> None:
    """A ball in the colours of its normals, with the names of the directions."""
    side = min(72, height - LINE)
    ball, inside = ball_colours(task, side)
    canvas.picture(np.where(inside[..., None], ball, 255).astype(np.uint8), x, y + LINE)
    canvas.caption(Caption("up", x + side / 2, y, FONT, align="center"))
    canvas.caption(Caption("right", x + side + 3, y + LINE + side / 2 - FONT * 0.6, FONT))
