"""Figures of predictions: several models with the ground truth (paper, Figures 4 and 6), and one model for a single image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from mgm.report.comparison import Comparison
from mgm.report.figures.images import image_pixels, value_pixels
from mgm.report.figures.panels import ERRORS_HEIGHT, LEGEND_WIDTH, ImageGrid, class_list_width, legend_height
from mgm.report.figures.style import figure_pixels, figure_style, save_figure
from mgm.report.pictures import ImageTable, TaskTable, prediction_table
from mgm.tasks.base import Task

WIDEST, TALLEST = 17.0, 6.5
"""Width and height of the area for images, in inches."""
SMALLEST, LARGEST = 0.8, 1.6
"""Range of the side of an image, in inches."""
MOST_COLUMNS = 22
"""With more columns, error maps are placed below predictions instead of next to them."""
TASK_GAP = 0.12
"""Space between tasks, in inches."""
PICTURE_SIDE = 192
"""Longer side of an image in pixels: the resolution of `LARGEST`, so that the borders of predictions are smooth."""
PANEL, STACKED_PANEL, PANELS_PER_ROW = 3.2, 2.4, 4
"""Figure of a single image: longer side of a panel in inches, for one row and for several rows, and panels per row."""
TALLEST_PANEL, FLATTEST_PANEL = 4 * PANEL, PANEL / 16
"""Limits of a panel's height in inches; images of extreme shapes are distorted, so that the figure keeps a reasonable size."""


def prediction_figure(path: Path, shown: Comparison) -> None:
    """Draw one row per image: the image, then for each task the ground truth and every model's prediction and error map.

    The title of an error map is the task's primary metric on that image. The colour scale of a task is the same in the whole
    figure. Missing labels are drawn as "no label", missing tasks as "not predicted".
    """
    draw_table(path, prediction_table(shown, PICTURE_SIDE))


def draw_table(path: Path, table: ImageTable) -> None:
    """Draw the images next to the tables of all tasks, with legends at the bottom; the suffix determines the format."""
    columns = [sum(len(headings) for _, headings in task.groups) for task in table.tasks]
    rows_per_image = 1
    if stacked := 1 + sum(columns) > MOST_COLUMNS:
        columns = [len(task.groups) for task in table.tasks]
        rows_per_image = max(len(headings) for task in table.tasks for _, headings in task.groups)
    rows = rows_per_image * len(table.images)
    side = min(LARGEST, max(SMALLEST, min(WIDEST / (1 + sum(columns)), TALLEST / rows)))
    widths = [side]
    for count in columns:
        widths += [TASK_GAP, *[side] * count, max(0.0, LEGEND_WIDTH - count * side)]
    scored = any(task.metric for task in table.tasks)
    rooms = [max(LEGEND_WIDTH, count * side) for count in columns]
    legends = max(legend_height(task.legend, room) for task, room in zip(table.tasks, rooms, strict=True))
    footer = legends + 0.15 + (ERRORS_HEIGHT if scored else 0.0)
    height, width = next(image.pixels.shape[:2] for image in table.images if image.pixels is not None)
    with figure_style():
        grid = ImageGrid(widths, rows, side * height / width, row_gap=0.2, header=0.4, footer=footer)
        for number, image in enumerate(table.images):
            grid.show(rows_per_image * number, 0, image.pixels, image.name or image.text)
        left = 2
        for task, count, room in zip(table.tasks, columns, rooms, strict=True):
            grid.heading(0, left, f"{task.title} ({task.metric})" if task.metric else task.title)
            _draw_task(grid, task, left, rows_per_image, stacked=stacked)
            grid.legend(task.legend, grid.left(left), grid.top(rows), room, errors=bool(task.metric))
            left += count + 2
        save_figure(grid.figure, path)


def _draw_task(grid: ImageGrid, task: TaskTable, left: int, rows_per_image: int, *, stacked: bool) -> None:
    """Draw the table of one task from column ``left`` on; if ``stacked``, the images of a group are below each other."""
    for number, groups in enumerate(task.rows):
        column = left
        for (title, _), pictures in zip(task.groups, groups, strict=True):
            for place, picture in enumerate(pictures):
                below, beside = (place, 0) if stacked else (0, place)
                text = picture.text or (title if place == 0 else "")
                if picture.pixels is not None or picture.alt:
                    row = rows_per_image * number + below
                    grid.show(row, column + beside, picture.pixels, text, picture.alt)
            column += 1 if stacked else len(pictures)


def photograph_figure(image: Tensor, values: Mapping[str, Tensor], tasks: Mapping[str, Task]) -> np.ndarray:
    """Draw an image and a model's predictions for it, with legends, as ``[height, width, 3]`` uint8.

    Args:
        image: ``[3, H, W]``, RGB in (-1, 1).
        values: Task -> decoded value (see `Task.decode`) without batch dimension, of any size.
        tasks: Tasks to draw, in this order.
    """
    height, width = image.shape[-2:]
    columns = min(PANELS_PER_ROW, len(tasks) + 1)
    rows = -(-(len(tasks) + 1) // columns)
    panel = PANEL if rows == 1 else STACKED_PANEL
    side = max(LEGEND_WIDTH, panel * min(1.0, width / height))
    spans = {name: task.span([values[name]]) for name, task in tasks.items()}
    legends = {name: task.legend([values[name]], spans[name]) for name, task in tasks.items()}
    # a long list of classes of the first task also uses the space below the image
    wide = next((name for name, legend in list(legends.items())[:1] if class_list_width(legend) > side), "")
    rooms = {name: 2 * side if name == wide else side for name in tasks}
    below = max(legend_height(legend, rooms[name]) for name, legend in legends.items()) + 0.45
    tall = min(TALLEST_PANEL, max(FLATTEST_PANEL, side * height / width))
    with figure_style():
        grid = ImageGrid([side] * columns, rows, tall, row_gap=below, header=0.2, footer=below - 0.2)
        grid.show(0, 0, image_pixels(image), "Image", bold=True)
        for number, (name, task) in enumerate(tasks.items(), 1):
            row, column = divmod(number, columns)
            grid.show(row, column, value_pixels(task, values[name], spans[name]), task.title, bold=True)
            left = grid.left(column - (name == wide))
            grid.legend(legends[name], left, grid.top(row) + grid.height + 0.12, rooms[name])
        return figure_pixels(grid.figure)
