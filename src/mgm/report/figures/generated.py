"""Figure of generated images by scene (paper, Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mgm.report.figures.images import image_pixels
from mgm.report.figures.panels import ImageGrid
from mgm.report.figures.style import figure_style, save_figure

LARGEST, SMALLEST = 1.5, 0.5
"""Range of the longer side of an image, in inches."""
HEIGHT = 6.5
"""Height of all rows together, in inches."""
GROUP_GAP = 0.2
"""Space between groups, in inches."""
LABEL = 1.3
"""Width of the column of scene names, in inches."""


def generated_figure(path: Path, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Draw one row of images per scene, with groups (such as before and after joint training) side by side.

    Args:
        path: The file.
        groups: Title of a group -> scene (or joined object names) -> ``[N, 3, H, W]``, RGB in (-1, 1); all groups have the
            same scenes and the same number of images.
    """
    scenes = list(next(iter(groups.values())))
    first = next(iter(groups.values()))[scenes[0]]
    per_scene, (height, width) = len(first), first.shape[-2:]
    side = min(LARGEST, max(SMALLEST, HEIGHT / len(scenes))) / max(height, width)
    widths = [LABEL] + ([side * width] * per_scene + [GROUP_GAP]) * len(groups)
    with figure_style():
        grid = ImageGrid(widths, len(scenes), side * height, header=0.2)
        for row, scene in enumerate(scenes):
            grid.label(row, 0, scene.replace("_", " "))
            for number, (title, images) in enumerate(groups.items()):
                for place, image in enumerate(images[scene]):
                    heading = title if row == place == 0 else ""
                    grid.show(row, 1 + number * (per_scene + 1) + place, image_pixels(image), heading, bold=True)
        save_figure(grid.figure, path)
