"""Samples of a data set with their labels, to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mgm.report.canvas import FAINT_INK, Canvas, Caption, shorten
from mgm.report.legends import classes_seen, draw_legend, has_classes, legend_height
from mgm.report.tiles import GAP, blank, coloured, photograph, tile_size
from mgm.tasks.base import Task
from mgm.types import Targets

SHEET_WIDTH = 1700
"""Samples stand beside each other while they fit into this width."""
HEADER = 24
CAPTION = 24
SAMPLE_GAP = 24


def contact_sheet(path: Path, images: Tensor, targets: Targets, tasks: dict[str, Task], scenes: Sequence[str]) -> None:
    """Draw each image with its labels beside it and the name of its scene below, and legends at the foot.

    Args:
        path: The PNG file.
        images: ``[N, 3, H, W]``, RGB in (-1, 1).
        targets: Labels of the images; what is absent, or without a valid pixel, is shown as "no label".
        tasks: What to draw.
        scenes: Name of each image's scene, or the joined names of its labels; empty where unknown.
    """
    canvas = Canvas()
    height, width = tile_size(*images.shape[-2:])
    sample_width = (len(tasks) + 1) * (width + GAP) - GAP
    columns = min(len(images), max(1, (SHEET_WIDTH + SAMPLE_GAP) // (sample_width + SAMPLE_GAP)))
    for column in range(columns):
        for place, title in enumerate(("Image", *(task.title for task in tasks.values()))):
            left = column * (sample_width + SAMPLE_GAP) + place * (width + GAP)
            canvas.caption(Caption(shorten(title, width, 13, bold=True), left, 0, 13, bold=True))
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        left, top = column * (sample_width + SAMPLE_GAP), HEADER + row * (height + CAPTION)
        canvas.picture(photograph(image, (height, width)), left, top, frame=True)
        scene = scenes[index].replace("_", " ") if index < len(scenes) else ""
        canvas.caption(Caption(shorten(scene or "scene unknown", sample_width, 13), left, top + height + 3, 13))
        for place, (name, task) in enumerate(tasks.items(), 1):
            target = targets[name][index] if name in targets else None
            _draw_label(canvas, task, target, (height, width), left + place * (width + GAP), top)
    _draw_legends(canvas, targets, tasks, HEADER + -(-len(images) // columns) * (height + CAPTION) + 12)
    canvas.write(path)


def _draw_label(canvas: Canvas, task: Task, target: Tensor | None, size: tuple[int, int], x: int, y: int) -> None:
    if target is not None and task.valid(target[None]).any():
        canvas.picture(coloured(task, target, size), x, y, frame=True)
        return
    canvas.picture(blank(size), x, y)
    canvas.caption(Caption("no label", x + size[1] / 2, y + size[0] / 2 - 8, 13, colour=FAINT_INK, align="center"))


def _draw_legends(canvas: Canvas, targets: Targets, tasks: dict[str, Task], top: int) -> None:
    """The legends of all tasks that have labels, in a row; class names take what width the others leave."""
    canvas_width = canvas.width
    scales = [task for name, task in tasks.items() if name in targets and not has_classes(task)]
    left = 0
    for name, task in tasks.items():
        if name not in targets:
            continue
        width = max(280, canvas_width - len(scales) * 150) if has_classes(task) else 126
        seen = classes_seen(task, [targets[name]])
        canvas.caption(Caption(task.title, left, top, 13, bold=True))
        box = (left, top + 24, width, legend_height(task, seen, width))
        draw_legend(canvas, task, seen, box, errors=False)
        left += width + SAMPLE_GAP
