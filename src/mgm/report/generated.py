"""Synthesized images per scene label, at several points of a training (paper Figures 7 and 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from mgm.report.canvas import Canvas, Caption, shorten, text_width, wrapped
from mgm.report.tiles import GAP, photograph, tile_size

GROUP_GAP = 24
HEADER = 28
LABEL_WIDTH = 150
"""The most that the names of scenes take; longer ones are wrapped."""
LABEL_GAP = 14
FONT = 14
LINE = 18


def generated_sheet(path: Path, rows: dict[str, Tensor], scenes: Sequence[str], per_scene: int) -> None:
    """Draw a row of images per scene label; groups stand beside each other, as before and after joint training.

    Args:
        path: The file, PNG or PDF by its suffix.
        rows: Title of a group -> ``[K * per_scene, 3, H, W]``, RGB in (-1, 1), the images of one label together.
        scenes: Title of each of the K rows; where an image has several labels, their names joined.
        per_scene: Images per row and group.

    Raises:
        ValueError: If a group does not have ``per_scene`` images for every label.
    """
    canvas = Canvas()
    labels = [wrapped(scene.replace("_", " "), LABEL_WIDTH, FONT) for scene in scenes]
    right = max((text_width(line, FONT) for lines in labels for line in lines), default=0.0)
    left = math.ceil(right) + LABEL_GAP
    height = 0
    for group, images in rows.items():
        if len(images) != len(scenes) * per_scene:
            raise ValueError(f"{group!r} has {len(images)} images, not {per_scene} for each of {len(scenes)} scenes")
        height, width = tile_size(*images.shape[-2:])
        span = per_scene * (width + GAP) - GAP
        canvas.caption(Caption(shorten(group, span, 16, bold=True), left, 0, 16, bold=True))
        for number, image in enumerate(images):
            row, column = divmod(number, per_scene)
            tile = photograph(image, (height, width))
            canvas.picture(tile, left + column * (width + GAP), HEADER + row * (height + GAP))
        left += span + GROUP_GAP
    for row, lines in enumerate(labels):
        shown = lines[: max(1, height // LINE)]
        top = HEADER + row * (height + GAP) + (height - len(shown) * LINE) / 2
        for number, line in enumerate(shown):
            canvas.caption(Caption(line, right, top + number * LINE, FONT, align="right"))
    canvas.write(path)
