"""The paper's figures of predictions and generated images, for any runs, as PNG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from mgm.report.comparison import compare
from mgm.report.figures.images import image_pixels
from mgm.report.figures.panels import ImageGrid
from mgm.report.figures.predictions import PICTURE_SIDE, draw_table, prediction_figure
from mgm.report.figures.style import figure_style, save_figure
from mgm.report.generation import annotation_table, before_and_after
from mgm.runs.folder import RunFolder

FORMATS = (".png", ".pdf")
LARGEST, SMALLEST = 1.5, 0.5
"""Range of the longer side of a generated image, in inches."""
HEIGHT = 6.5
"""Height of all rows together, in inches."""
GROUP_GAP = 0.2
"""Space between groups, in inches."""
LABEL = 1.3
"""Width of the column of scene names, in inches."""


def draw_comparison(folders: Mapping[str, RunFolder], out: Path) -> list[Path]:
    """Draw ground truth, predictions and error maps of several models for the same test images (Figures 4 and 6).

    Args:
        folders: Title -> run, in the order of columns: ``{"ST": ..., "MT": ..., "MGM": ...}``.
        out: Path without suffix: ``figure4`` gives ``figure4.png`` and ``figure4.pdf``, which are returned.

    Raises:
        RunError: If a run has no weights, or they have no test set in common.
        DataError: If the data no longer exist.
    """
    shown = compare(folders)
    return in_every_format(out, lambda path: prediction_figure(path, shown))


def draw_generation(folder: RunFolder, out: Path) -> list[Path]:
    """Draw generated images by scene before and after joint training (Figure 7), and annotated ones (Figure 8).

    The path ``figure7`` gives ``figure7.png`` and ``.pdf``, ``figure7_pairs.png`` and ``.pdf``, which are returned.

    Raises:
        RunError: If the run has no generator.
    """
    groups, annotated = before_and_after(folder), annotation_table(folder, PICTURE_SIDE)
    written = in_every_format(out, lambda path: generated_figure(path, groups))
    pairs = stem(out).with_name(f"{stem(out).name}_pairs")
    return written + in_every_format(pairs, lambda path: draw_table(path, annotated))


def generated_figure(path: Path, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Draw one row of images per scene, with groups (such as before and after joint training) side by side.

    ``groups`` is title -> scene (or joined object names) -> ``[N, 3, H, W]``, RGB in (-1, 1); all groups have the same scenes
    and the same number of images.
    """
    scenes = list(next(iter(groups.values())))
    per_scene, _, height, width = next(iter(groups.values()))[scenes[0]].shape
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


def stem(out: Path) -> Path:
    """The path without its suffix, if that is one of the formats."""
    return out.with_suffix("") if out.suffix.lower() in FORMATS else out


def in_every_format(out: Path, draw: Callable[[Path], None]) -> list[Path]:
    """Draw ``out`` as PNG and as PDF; returns the files."""
    paths = [stem(out).with_name(stem(out).name + suffix) for suffix in FORMATS]
    for path in paths:
        draw(path)
    return paths
