"""The paper's figures of predictions and generated images, for any runs, as PNG and PDF."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mgm.report.comparison import compare
from mgm.report.figures.generated import generated_figure
from mgm.report.figures.predictions import PICTURE_SIDE, draw_table, prediction_figure
from mgm.report.generation import annotate_generated, before_and_after
from mgm.report.pictures import annotation_table
from mgm.runs.folder import RunFolder

FORMATS = (".png", ".pdf")


def draw_comparison(folders: Mapping[str, RunFolder], out: Path) -> list[Path]:
    """Draw ground truth, predictions and error maps of several models for the same test images (Figures 4 and 6).

    Args:
        folders: Title -> run, in the order of columns: ``{"ST": ..., "MT": ..., "MGM": ...}``.
        out: Path without suffix: ``figure4`` gives ``figure4.png`` and ``figure4.pdf``.

    Returns:
        The files.

    Raises:
        RunError: If a run has no weights, or they have no test set in common.
        DataError: If the data no longer exist.
    """
    shown = compare(folders)
    return in_every_format(out, lambda path: prediction_figure(path, shown))


def draw_generation(folder: RunFolder, out: Path) -> list[Path]:
    """Draw generated images by scene before and after joint training (Figure 7), and annotated ones (Figure 8).

    Args:
        folder: A run with a generator.
        out: Path without suffix: ``figure7`` gives ``figure7.png`` and ``.pdf``, ``figure7_pairs.png`` and ``.pdf``.

    Returns:
        The files.

    Raises:
        RunError: If the run has no generator.
    """
    groups, annotated = before_and_after(folder), annotation_table(annotate_generated(folder), PICTURE_SIDE)
    written = in_every_format(out, lambda path: generated_figure(path, groups))
    pairs = stem(out).with_name(f"{stem(out).name}_pairs")
    return written + in_every_format(pairs, lambda path: draw_table(path, annotated))


def stem(out: Path) -> Path:
    """The path without its suffix, if that is one of the formats."""
    return out.with_suffix("") if out.suffix.lower() in FORMATS else out


def in_every_format(out: Path, draw: Callable[[Path], None]) -> list[Path]:
    """Draw ``out`` as PNG and as PDF; returns the files."""
    paths = [stem(out).with_name(stem(out).name + suffix) for suffix in FORMATS]
    for path in paths:
        draw(path)
    return paths
