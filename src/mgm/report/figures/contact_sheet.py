"""Samples of a data set with their labels, to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mgm.report.figures.images import image_pixels, spread_evenly, value_pixels
from mgm.report.figures.panels import GAP, LEGEND_WIDTH, MARGIN, ImageGrid, legend_height, wrapped
from mgm.report.figures.style import figure_style, save_figure
from mgm.tasks.base import Task
from mgm.types import Targets

SHEET = (16.0, 6.5)
"""Width and height in inches that the images share."""
SMALLEST, LARGEST = 1.05, 2.0
"""Longer side of an image in inches; of more samples than fit at the smallest, some are shown."""
SAMPLE_GAP = 0.15
"""Between samples, in inches."""


def contact_sheet(path: Path, images: Tensor, targets: Targets, tasks: dict[str, Task], scenes: Sequence[str]) -> None:
    """Draw each image with its labels beside it and the name of its scene above; legends at the foot. All fits on a screen.

    Args:
        path: The file.
        images: ``[N, 3, H, W]``, RGB in (-1, 1).
        targets: Labels; what is absent, or without a valid pixel, is shown as "no label".
        tasks: What to draw.
        scenes: Name of each image's scene, or joined names of its labels; empty where unknown.
    """
    count = min(len(images), _most(len(tasks) + 1))
    shown = spread_evenly(len(images), count)
    across, side = _columns(count, len(tasks) + 1)
    height, width = (side * length / max(images.shape[-2:]) for length in images.shape[-2:])
    per_sample = len(tasks) + 2  # the last one is narrow: space between samples
    labelled = {name: task for name, task in tasks.items() if name in targets}
    down = -(-count // across)
    widths = ([width] * (per_sample - 1) + [SAMPLE_GAP]) * across
    widths[-1] += max(0.0, LEGEND_WIDTH * len(labelled) - sum(widths))
    targets = {name: targets[name][shown] for name in labelled}
    spans = {name: task.span([targets[name]]) for name, task in labelled.items()}
    legends = [task.legend([targets[name]], spans[name]) for name, task in labelled.items()]
    total = sum(widths) + (len(widths) - 1) * GAP
    lists = sum(bool(legend.classes) for legend in legends)
    rooms = [
        max(LEGEND_WIDTH, (total - (len(legends) - lists) * LEGEND_WIDTH) / lists) if legend.classes else LEGEND_WIDTH
        for legend in legends
    ]
    footer = max((legend_height(*pair) + 0.3 for pair in zip(legends, rooms, strict=True)), default=0.0)
    with figure_style():
        grid = ImageGrid(widths, down, height, row_gap=0.2, header=0.4, footer=footer)
        for place, index in enumerate(shown):
            image, row, left = images[index], place // across, place % across * per_sample
            scene = scenes[index].replace("_", " ") if index < len(scenes) else ""
            grid.show(row, left, image_pixels(image), scene or "scene unknown")
            for column, (name, task) in enumerate(tasks.items(), left + 1):
                known = name in labelled and bool(task.valid(targets[name][place][None]).any())
                pixels = value_pixels(task, targets[name][place], spans[name]) if known else None
                grid.show(row, column, pixels, note="no label")
                if row == 0:
                    grid.heading(row, column, wrapped(task.title, width, 2), 0.06)
        left = MARGIN
        for legend, room in zip(legends, rooms, strict=True):
            grid.legend(legend, left, grid.top(down) + 0.2, room - 0.15, title=True)
            left += room
        save_figure(grid.figure, path)


def _most(per_sample: int) -> int:
    """Samples that fit with sides of `SMALLEST`."""
    return max(1, int(SHEET[0] / (SMALLEST * per_sample + SAMPLE_GAP))) * int(SHEET[1] / (SMALLEST + 0.2))


def _columns(count: int, per_sample: int) -> tuple[int, float]:
    """How many samples stand beside each other, and the side of an image, for images as large as possible."""

    def side(across: int) -> float:
        return min(SHEET[0] / (across * (per_sample + 0.1)), SHEET[1] / -(-count // across) - 0.2)

    best = max(range(1, count + 1), key=side)
    return best, min(LARGEST, max(SMALLEST, side(best)))
