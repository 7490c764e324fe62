"""Contact sheet: samples of a data set with their labels, for inspection before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mgm.report.figures.images import image_pixels, spread_evenly, value_pixels
from mgm.report.figures.panels import GAP, LEGEND_WIDTH, MARGIN, ImageGrid, class_list_width, legend_height, wrapped
from mgm.report.figures.style import figure_style, save_figure
from mgm.tasks.base import Task
from mgm.types import Targets

SHEET = (16.0, 6.5)
"""Width and height of the area for images, in inches."""
SMALLEST, LARGEST = 1.05, 2.0
"""Range of the longer side of an image, in inches; samples that do not fit at the smallest size are left out."""
SAMPLE_GAP = 0.15
"""Space between samples, in inches."""
ROW_GAP, LINE = 0.2, 0.13
"""Space above a row with one line of text, and for each further line, in inches."""


def contact_sheet(
    path: Path, images: Tensor, targets: Targets, tasks: dict[str, Task], scenes: Sequence[str], names: Sequence[str]
) -> None:
    """Draw each image next to its labels, with its name and scene above and legends at the bottom, to fit on a screen.

    Args:
        path: The file.
        images: ``[N, 3, H, W]``, RGB in (-1, 1).
        targets: Labels; those that are absent or have no valid pixel are drawn as "no label".
        tasks: Tasks to draw.
        scenes: Scene of each image, or the joined names of its objects; empty where unknown.
        names: Name of each image.
    """
    row_gap = ROW_GAP + LINE * any(scenes)
    columns = len(tasks) + 1
    most = max(1, int(SHEET[0] / (SMALLEST * columns + SAMPLE_GAP))) * int(SHEET[1] / (SMALLEST + row_gap))
    shown = spread_evenly(len(images), most)
    across, side = _largest_images(len(shown), columns, row_gap)
    height, width = (side * length / max(images.shape[-2:]) for length in images.shape[-2:])
    per_sample = columns + 1  # the last column is narrow: the space between samples
    labelled = {name: task for name, task in tasks.items() if name in targets}
    down = -(-len(shown) // across)
    widths = ([width] * columns + [SAMPLE_GAP]) * across
    widths[-1] += max(0.0, LEGEND_WIDTH * len(labelled) - sum(widths))
    targets = {name: targets[name][shown] for name in labelled}
    spans = {name: task.span([targets[name]]) for name, task in labelled.items()}
    legends = [task.legend([targets[name]], spans[name]) for name, task in labelled.items()]
    lists = sum(bool(legend.classes) for legend in legends)
    left_over = sum(widths) + (len(widths) - 1) * GAP - (len(legends) - lists) * LEGEND_WIDTH
    widest = left_over / max(1, lists)
    rooms = [max(LEGEND_WIDTH, min(class_list_width(legend) + 0.2, widest)) for legend in legends]
    footer = max((legend_height(*pair) + 0.3 for pair in zip(legends, rooms, strict=True)), default=0.0)
    with figure_style():
        grid = ImageGrid(widths, down, height, row_gap=row_gap, header=0.4, footer=footer)
        for place, index in enumerate(shown):
            image, row, left = images[index], place // across, place % across * per_sample
            scene = f"\n{scenes[index].replace('_', ' ') or 'scene unknown'}" if any(scenes) else ""
            grid.show(row, left, image_pixels(image), names[index] + scene)
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


def _largest_images(count: int, columns: int, row_gap: float) -> tuple[int, float]:
    """Number of samples per row, and side of an image in inches, for the largest possible images."""

    def side(across: int) -> float:
        return min(SHEET[0] / (across * (columns + 0.1)), SHEET[1] / -(-count // across) - row_gap)

    best = max(range(1, count + 1), key=side)
    return best, min(LARGEST, max(SMALLEST, side(best)))
