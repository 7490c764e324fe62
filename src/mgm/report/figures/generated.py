"""Generated images by scene (paper Figure 7), and beside what networks predict on them (Figure 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mgm.report.figures.images import image_pixels, value_pixels
from mgm.report.figures.panels import LEGEND_HEIGHT, LEGEND_WIDTH, ImageGrid
from mgm.report.figures.style import figure_style, save_figure
from mgm.report.generation import AnnotatedImages

LARGEST, SMALLEST = 1.5, 0.5
"""Side of an image in inches."""
HEIGHT = 6.5
"""Inches that the rows share."""
GROUP_GAP = 0.2
"""Between groups and tasks, in inches."""
LABEL = 1.3
"""Width of the names of scenes, in inches."""


def generated_figure(path: Path, groups: Mapping[str, Tensor], scenes: Sequence[str], per_scene: int) -> None:
    """Draw a row of images per scene; groups, as before and after joint training, stand beside each other.

    Args:
        path: The file.
        groups: Title of a group -> ``[K * per_scene, 3, H, W]``, RGB in (-1, 1), the images of one scene together.
        scenes: Name of each of the K scenes; where an image has several labels, their names joined.
        per_scene: Images per scene and group.

    Raises:
        ValueError: If a group does not have ``per_scene`` images for every scene.
    """
    for title, images in groups.items():
        if len(images) != len(scenes) * per_scene:
            raise ValueError(f"{title!r} has {len(images)} images, not {per_scene} for each of {len(scenes)} scenes")
    side = min(LARGEST, max(SMALLEST, HEIGHT / len(scenes)))
    widths = [LABEL] + ([side] * per_scene + [GROUP_GAP]) * len(groups)
    with figure_style():
        grid = ImageGrid(widths, len(scenes), side, header=0.2)
        for row, scene in enumerate(scenes):
            grid.label(row, 0, scene.replace("_", " "))
            for group, (title, images) in enumerate(groups.items()):
                for column in range(per_scene):
                    place = 1 + group * (per_scene + 1) + column
                    heading = title if row == column == 0 else ""
                    grid.show(row, place, image_pixels(images[row * per_scene + column]), heading, bold=True)
        save_figure(grid.figure, path)


def write_generated(path: Path, images: Mapping[str, Tensor]) -> None:
    """Draw generated images, scene -> ``[num, 3, H, W]``, with a row per scene."""
    num = len(next(iter(images.values())))
    generated_figure(path, {"": torch.cat(list(images.values()))}, list(images), num)


def annotated_figure(path: Path, annotated: AnnotatedImages) -> None:
    """Draw a row per generated image: the image, then every task as each annotator sees it; legends at the foot."""
    count = len(annotated.images)
    side = min(LARGEST, max(SMALLEST, HEIGHT / count))
    predicted = {
        name: {title: values[name] for title, values in annotated.values.items() if name in values}
        for name in annotated.tasks
    }
    widths = [side]
    for known in predicted.values():
        widths += [GROUP_GAP, *[side] * len(known), max(0.0, LEGEND_WIDTH - len(known) * side)]
    with figure_style():
        grid = ImageGrid(widths, count, side, row_gap=0.2, header=0.4, footer=LEGEND_HEIGHT + 0.15)
        for row, (scene, image) in enumerate(zip(annotated.scenes, annotated.images, strict=True)):
            grid.show(row, 0, image_pixels(image), scene)
        left = 2
        for name, known in predicted.items():
            task = annotated.tasks[name]
            span = task.span(known.values())
            grid.heading(0, left, task.title)
            for column, (title, values) in enumerate(known.items(), left):
                for row, value in enumerate(values):
                    grid.show(row, column, value_pixels(task, value, span), title if row == 0 else "")
            width = max(LEGEND_WIDTH, len(known) * side)
            grid.legend(task.legend(list(known.values()), span), grid.left(left), grid.top(count), width)
            left += len(known) + 2
        save_figure(grid.figure, path)
