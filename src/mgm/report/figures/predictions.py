"""Predictions of several models beside the ground truth (paper Figures 4 and 6), and of one model for one photograph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from mgm.report.comparison import Comparison
from mgm.report.figures.images import decoded, error_pixels, image_pixels, image_score, value_pixels
from mgm.report.figures.panels import ERRORS_HEIGHT, LEGEND_HEIGHT, LEGEND_WIDTH, ImageGrid
from mgm.report.figures.style import figure_pixels, figure_style, save_figure
from mgm.tasks.base import Task

WIDEST = 17.0
"""Inches that the images of a row share."""
SMALLEST, LARGEST = 0.8, 1.6
"""Side of an image in inches."""
MOST_COLUMNS = 22
"""With more columns, error maps stand below predictions and not beside them."""
TASK_GAP = 0.12
"""Between tasks, in inches."""
DECODED_SIDE = 160
"""Predictions are interpolated to this longer side, so that borders are not blocks of enlarged pixels."""
PANEL, PANELS_PER_ROW = 3.2, 4
"""Longer side in inches, and number in a row, of the panels about one photograph."""


def prediction_figure(path: Path, shown: Comparison) -> None:
    """Draw a row per image: the image, then for each task the ground truth and every model's prediction with its errors.

    Above each error map stands the task's primary metric on this one image. The colours of a task mean the same in the whole
    figure; its legend stands at the foot.

    Args:
        path: The file; PNG or PDF, as its suffix says.
        shown: What to draw. A task without a valid label is shown as "no label", one that a model does not predict as such.
    """
    models = len(shown.predictions)
    stacked = 1 + len(shown.tasks) * (1 + 2 * models) > MOST_COLUMNS
    per_task = 1 + (1 if stacked else 2) * models
    side = min(LARGEST, max(SMALLEST, WIDEST / (1 + len(shown.tasks) * per_task)))
    gap = max(TASK_GAP, LEGEND_WIDTH - per_task * side)
    widths = [side] + [width for _ in shown.tasks for width in (TASK_GAP, *[side] * per_task, gap - TASK_GAP)]
    height, width = shown.images.shape[-2:]
    rows = (2 if stacked else 1) * len(shown.images)
    footer = LEGEND_HEIGHT + ERRORS_HEIGHT + 0.15
    with figure_style():
        grid = ImageGrid(widths, rows, side * height / width, row_gap=0.2, header=0.4, footer=footer)
        for index, image in enumerate(shown.images):
            name = shown.names[index] if index < len(shown.names) else ""
            grid.show(2 * index if stacked else index, 0, image_pixels(image), name)
        for number, name in enumerate(shown.tasks):
            left = 2 + number * (per_task + 2)
            _draw_task(grid, shown, name, left, stacked=stacked)
            values = shown.values(name)
            legend = shown.tasks[name].legend(values, shown.tasks[name].span(values))
            x, room = grid.left(left), max(LEGEND_WIDTH, per_task * side)
            grid.legend(legend, x, grid.top(rows), room, errors=True)
        save_figure(grid.figure, path)


def _draw_task(grid: ImageGrid, shown: Comparison, name: str, left: int, *, stacked: bool) -> None:
    """The columns of one task, from column ``left`` of the grid on."""
    task = shown.tasks[name]
    span = task.span(shown.values(name))
    grid.heading(0, left, f"{task.title} ({task.metrics_info[task.primary].title})")
    for index in range(len(shown.images)):
        row = 2 * index if stacked else index
        target = shown.target(name, index)
        grid.show(row, left, None if target is None else value_pixels(task, target, span), "truth", "no label")
        for number, (title, outputs) in enumerate(shown.predictions.items()):
            column = left + 1 + (number if stacked else 2 * number)
            below, beside = (row + 1, column) if stacked else (row, column + 1)
            if name not in outputs:
                grid.show(row, column, None, title, "not predicted")
                continue
            prediction = outputs[name][index]
            grid.show(row, column, value_pixels(task, decoded(task, prediction, DECODED_SIDE), span), title)
            if target is None:
                grid.show(below, beside, None, note="no label")
            else:
                errors = error_pixels(task, decoded(task, prediction), target)
                grid.show(below, beside, errors, image_score(task, prediction, target))


def photograph_figure(image: Tensor, values: Mapping[str, Tensor], tasks: Mapping[str, Task]) -> np.ndarray:
    """One photograph and what a model says about it, with legends.

    Args:
        image: ``[3, H, W]``, RGB in (-1, 1).
        values: Task -> decoded value (see `Task.decode`) without batch dimension, of any size.
        tasks: What to draw, in this order.

    Returns:
        ``[height, width, 3]`` uint8.
    """
    height, width = image.shape[-2:]
    side = max(LEGEND_WIDTH, PANEL * min(1.0, width / height))
    columns = min(PANELS_PER_ROW, len(tasks) + 1)
    rows = -(-(len(tasks) + 1) // columns)
    below = LEGEND_HEIGHT + 0.45
    with figure_style():
        grid = ImageGrid([side] * columns, rows, side * height / width, row_gap=below, header=0.2, footer=below - 0.2)
        grid.show(0, 0, image_pixels(image), "Photograph", bold=True)
        for number, (name, task) in enumerate(tasks.items(), 1):
            row, column = divmod(number, columns)
            span = task.span([values[name]])
            grid.show(row, column, value_pixels(task, values[name], span), task.title, bold=True)
            legend = task.legend([values[name]], span)
            grid.legend(legend, grid.left(column), grid.top(row) + grid.height + 0.12, side)
        return figure_pixels(grid.figure)
