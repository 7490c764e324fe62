"""Predictions of several models beside the truth (paper Figures 4 and 6), and of one model for one photograph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from mgm.report.canvas import FAINT_INK, Canvas, Caption, shorten, text_width
from mgm.report.legends import classes_seen, draw_legend, legend_height
from mgm.report.tiles import GAP, blank, coloured, error_map, photograph, predicted, tile_size
from mgm.tasks.base import Task
from mgm.types import Predictions, Targets

HEADER = 46
ROW_TITLE = 26
"""Width of the column of model titles."""
SCORE = 22
"""Height of the line of scores under a row."""
TASK_GAP = 14
BLOCK_GAP = 26


def prediction_sheet(
    path: Path,
    images: Tensor,
    targets: Targets,
    predictions: dict[str, Predictions],
    tasks: dict[str, Task],
    *,
    names: Sequence[str] = (),
) -> None:
    """Draw a block per image: the photograph, a row per model with predictions and error maps, the truth.

    Under every prediction stands the task's primary metric on this one image.

    Args:
        path: The file, PNG or PDF by its suffix.
        images: ``[N, 3, H, W]``, RGB in (-1, 1).
        targets: Labels of the images; a task that is absent, or without a valid pixel, is shown as "no label".
        predictions: Title of a model -> its predictions; a task that it does not predict is shown as such.
        tasks: What to draw.
        names: Captions of the images.
    """
    canvas = Canvas()
    size = tile_size(*images.shape[-2:])
    lefts = _column_starts(size[1], tasks)
    for left, task in zip(lefts, tasks.values(), strict=True):
        canvas.caption(Caption(shorten(task.title, 2 * size[1] + GAP, 16, bold=True), left, 0, 16, bold=True))
        canvas.caption(Caption("prediction", left, 25, 13, colour=FAINT_INK))
        canvas.caption(Caption("error", left + size[1] + GAP, 25, 13, colour=FAINT_INK))
    block_height = (len(predictions) + 1) * (size[0] + SCORE) + BLOCK_GAP
    for index, image in enumerate(images):
        top = HEADER + index * block_height
        canvas.picture(photograph(image, size), 0, top, frame=True)
        if index < len(names):
            canvas.caption(Caption(shorten(names[index], size[1], 13), 0, top + size[0] + 3, 13, colour=FAINT_INK))
        for row, title in enumerate((*predictions, "ground truth")):
            middle = top + row * (size[0] + SCORE) + size[0] / 2
            title = shorten(title, size[0] + SCORE, 14, bold=True)
            canvas.caption(Caption(title, size[1] + TASK_GAP + ROW_TITLE / 2, middle, 14, bold=True, upright=True))
        for left, (name, task) in zip(lefts, tasks.items(), strict=True):
            own = {title: outputs[name][index] if name in outputs else None for title, outputs in predictions.items()}
            _draw_column(canvas, task, own, targets[name][index] if name in targets else None, size, left, top)
    canvas.write(path)


def _column_starts(width: int, tasks: dict[str, Task]) -> list[int]:
    first = width + TASK_GAP + ROW_TITLE + GAP
    return [first + column * (2 * width + GAP + TASK_GAP) for column in range(len(tasks))]


def _draw_column(
    canvas: Canvas,
    task: Task,
    predictions: dict[str, Tensor | None],
    target: Tensor | None,
    size: tuple[int, int],
    left: int,
    top: int,
) -> None:
    """One task of one image: prediction and error map of each model, then the truth and the legend.

    Args:
        canvas: Where to draw.
        task: What to draw.
        predictions: Model -> ``[C, H, W]``.
        target: The truth, without batch dimension.
        size: Height and width of a tile.
        left: Where the column begins.
        top: Where the block begins.
    """
    if target is not None and not task.valid(target[None]).any():
        target = None
    right = left + size[1] + GAP
    shown = []
    for row, prediction in enumerate(predictions.values()):
        y = top + row * (size[0] + SCORE)
        if prediction is None:
            _draw_blank(canvas, "not predicted", size, left, y)
            _draw_blank(canvas, "", size, right, y)
            continue
        value = task.decode(prediction[None].detach().float().cpu())[0]
        shown.append(value)
        canvas.picture(predicted(task, prediction, size), left, y, frame=True)
        if target is None:
            _draw_blank(canvas, "no label", size, right, y)
            continue
        canvas.picture(error_map(task, value, target, size), right, y, frame=True)
        canvas.caption(Caption(image_score(task, prediction, target), left, y + size[0] + 3, 13))
    y = top + len(predictions) * (size[0] + SCORE)
    if target is None:
        _draw_blank(canvas, "no label", size, left, y)
    else:
        shown.append(target)
        canvas.picture(coloured(task, target, size), left, y, frame=True)
    draw_legend(canvas, task, classes_seen(task, shown), (right + 4, y, size[1] - 4, size[0]), errors=True)


def _draw_blank(canvas: Canvas, text: str, size: tuple[int, int], x: int, y: int) -> None:
    canvas.picture(blank(size), x, y)
    canvas.caption(Caption(text, x + size[1] / 2, y + size[0] / 2 - 8, 13, colour=FAINT_INK, align="center"))


def image_score(task: Task, prediction: Tensor, target: Tensor) -> str:
    """The primary metric on one image, as it is written under a prediction.

    Args:
        task: Whose metric.
        prediction: ``[C, H, W]``.
        target: The truth, without batch dimension.
    """
    metrics = task.metrics()
    metrics.update(prediction[None].detach().float().cpu(), target[None].detach().cpu())
    info = task.metrics_info[task.primary]
    value = metrics.compute()[task.primary]
    if not math.isfinite(value):
        return f"{info.title} –"
    if info.unit == "°":
        return f"{info.title} {value:.1f}°"
    return f"{info.title} {value:.2f} {info.unit}".rstrip()


def predict_picture(image: Tensor, values: dict[str, Tensor], tasks: dict[str, Task]) -> np.ndarray:
    """One photograph and what a model says about it, side by side, with titles and legends.

    Args:
        image: ``[3, H, W]``, RGB in (-1, 1).
        values: Task -> decoded value (see `Task.decode`) without batch dimension: ``[H, W]`` class indices, or
            ``[C, H, W]``.
        tasks: What to draw, in this order.

    Returns:
        ``[height, width, 3]``, uint8.
    """
    canvas = Canvas()
    size = tile_size(*image.shape[-2:])
    titles = ["Photograph", *(task.title for task in tasks.values())]
    column = max(size[1], *(math.ceil(text_width(title, 16, bold=True)) for title in titles))
    canvas.caption(Caption(titles[0], 0, 0, 16, bold=True))
    canvas.picture(photograph(image, size), 0, 26, frame=True)
    for number, (name, task) in enumerate(tasks.items(), 1):
        left = number * (column + TASK_GAP)
        canvas.caption(Caption(titles[number], left, 0, 16, bold=True))
        canvas.picture(coloured(task, values[name], size), left, 26, frame=True)
        seen = classes_seen(task, [values[name]])
        box = (left, 26 + size[0] + 12, column, legend_height(task, seen, column))
        draw_legend(canvas, task, seen, box, errors=False)
    return canvas.render()
