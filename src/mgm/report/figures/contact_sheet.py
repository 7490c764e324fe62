"""Samples of a data set with their labels, to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mgm.report.figures.images import image_pixels, value_pixels
from mgm.report.figures.panels import LEGEND_HEIGHT, LEGEND_WIDTH, MARGIN, ImageGrid, wrapped
from mgm.report.figures.style import figure_style, save_figure
from mgm.tasks.base import Task
from mgm.tasks.legend import Legend
from mgm.types import Targets

SHEET = (16.0, 6.5)
"""Width and height in inches that the images share."""
SMALLEST, LARGEST = 0.8, 2.0
"""Side of an image in inches."""
SAMPLE_GAP = 0.15
"""Between samples, in inches."""


def contact_sheet(path: Path, images: Tensor, targets: Targets, tasks: dict[str, Task], scenes: Sequence[str]) -> None:
    """Draw each image with its labels beside it and the name of its scene above; legends at the foot.

    Args:
        path: The file.
        images: ``[N, 3, H, W]``, RGB in (-1, 1).
        targets: Labels; what is absent, or without a valid pixel, is shown as "no label".
        tasks: What to draw.
        scenes: Name of each image's scene, or joined names of its labels; empty where unknown.
    """
    across, side = _columns(len(images), len(tasks) + 1)
    per_sample = len(tasks) + 2  # the last one is narrow: space between samples
    labelled = {name: task for name, task in tasks.items() if name in targets}
    down = -(-len(images) // across)
    widths = ([side] * (per_sample - 1) + [SAMPLE_GAP]) * across
    widths[-1] += max(0.0, LEGEND_WIDTH * len(labelled) - sum(widths))
    with figure_style():
        grid = ImageGrid(widths, down, side, row_gap=0.2, header=0.4, footer=LEGEND_HEIGHT + 0.3 if labelled else 0.0)
        spans = {name: task.span([targets[name]]) for name, task in labelled.items()}
        for index, image in enumerate(images):
            row, left = index // across, index % across * per_sample
            scene = scenes[index].replace("_", " ") if index < len(scenes) else ""
            grid.show(row, left, image_pixels(image), scene or "scene unknown")
            for column, (name, task) in enumerate(tasks.items(), left + 1):
                known = name in labelled and bool(task.valid(targets[name][index][None]).any())
                pixels = value_pixels(task, targets[name][index], spans[name]) if known else None
                grid.show(row, column, pixels, note="no label")
                if row == 0:
                    grid.heading(row, column, wrapped(task.title, 0.8 * side, 2), 0.06)
        _draw_legends(grid, down, [task.legend([targets[name]], spans[name]) for name, task in labelled.items()])
        save_figure(grid.figure, path)


def _draw_legends(grid: ImageGrid, row: int, legends: Sequence[Legend]) -> None:
    """The legends beside each other; those with classes share the width that the others leave."""
    lists = sum(bool(legend.classes) for legend in legends)
    room = grid.width - 2 * MARGIN - (len(legends) - lists) * LEGEND_WIDTH
    left = MARGIN
    for legend in legends:
        width = max(LEGEND_WIDTH, room / lists) if legend.classes else LEGEND_WIDTH
        grid.legend(legend, left, grid.top(row) + 0.2, width - 0.15, title=True)
        left += width


def _columns(count: int, per_sample: int) -> tuple[int, float]:
    """How many samples stand beside each other, and the side of an image, for images as large as possible."""

    def side(across: int) -> float:
        return min(SHEET[0] / (across * (per_sample + 0.1)), SHEET[1] / -(-count // across) - 0.2)

    best = max(range(1, count + 1), key=side)
    return best, min(LARGEST, max(SMALLEST, side(best)))
