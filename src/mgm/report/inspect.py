"""Inspection of a data set before training: statistics, suspicious findings, and a contact sheet of samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from mgm.data.base import DataSource, Splits, read_checked
from mgm.data.progress import progress_bar
from mgm.errors import ConfigError, DataError
from mgm.functional.levels import normalise_levels, shown_as_rgb
from mgm.report.comparison import scene_name
from mgm.report.dataset_statistics import DatasetStatistics
from mgm.report.figures.contact_sheet import contact_sheet
from mgm.report.figures.images import spread_evenly
from mgm.types import FrameLike, Sample

SPLIT_PARTS = tuple(part.name for part in fields(Splits))
MOST_LISTED = 10
"""Largest number of entries listed for bad files and for each suspicious finding."""


def inspect_source(
    source: DataSource, out: Path, *, size: FrameLike = 128, num_shown: int = 12, most: int = 0, split: str = "random"
) -> Iterator[str]:
    """Read a data set, yield lines that describe it, and draw a contact sheet. Unreadable files are listed and skipped.

    Args:
        source: The data set.
        out: File of the contact sheet.
        size: Size of the images, and how images of another shape are brought to it.
        num_shown: Number of samples on the contact sheet.
        most: Number of samples to read, spaced evenly; 0: all.
        split: Kind of split whose subsets are counted.

    Raises:
        ConfigError: If ``num_shown`` is below 1, ``most`` is negative, or there is no such split.
        DataError: If no sample can be read.
    """
    if num_shown < 1 or most < 0:
        raise ConfigError("--num must be at least 1, and --most at least 0 (all)")
    info = source.info
    statistics = DatasetStatistics(info)
    num_classes = sum(len(task.classes) for task in statistics.tasks.values() if task.categorical)
    yield f"{info.name}: {len(source)} images; tasks {', '.join(info.tasks)}; {num_classes} classes"
    if not info.image.is_photograph:
        yield f"images of {info.image}, stored as {info.image.dtype}"
    for kind, note in info.notes.items():
        yield f"note on {kind}: {note}"
    parts, split_line = _parts(source, split)
    yield split_line
    warnings = source.warnings()
    yield from (f"SUSPICIOUS: {warning}" for warning in warnings)
    shown: list[Sample] = []
    bad: list[str] = []
    chosen = spread_evenly(len(source), most or len(source))
    pictured = {chosen[place] for place in spread_evenly(len(chosen), num_shown)}
    with progress_bar("reading", len(chosen)) as advance:
        for index in chosen:
            try:
                sample, remarks = read_checked(source, info, index, size), source.remarks(index)
            except DataError as error:
                bad.append(str(error))
            else:
                for remark in remarks:
                    if remark not in warnings:
                        statistics.suspect("remark of the reader", remark)
                statistics.add(sample, str(parts[index]))
                shown += [sample] if index in pictured else []
            advance(1)
    statistics.conclude()
    if len(chosen) < len(source):
        yield f"read {len(chosen)} of them, spaced evenly (--most 0 reads all)"
    yield from _describe(statistics)
    yield from _complain(statistics, bad)
    if not warnings and not bad and not statistics.suspicious:
        yield "nothing suspicious"
    if not shown:
        raise DataError(f"{info.name}: none of the samples for the contact sheet can be read")
    _draw(shown, statistics, out)
    yield f"contact sheet: {out}"


def _parts(source: DataSource, kind: str) -> tuple[np.ndarray, str]:
    """Subset of each sample in a split, and a line that describes the split."""
    names = np.full(len(source), "", "U10")
    try:
        splits: Splits = source.splits(kind, 0)
    except DataError as error:
        return names, f"split {kind}: impossible ({error})"
    for part in SPLIT_PARTS:
        names[getattr(splits, part)] = part
    sizes = ", ".join(f"{len(getattr(splits, part))} {part}" for part in SPLIT_PARTS)
    return names, f"split {kind}, seed 0: {sizes} (this data set has: {', '.join(source.split_kinds)})"


def _describe(statistics: DatasetStatistics) -> Iterator[str]:
    """Counts per task, scene and class."""
    info = statistics.info
    for name, label in statistics.labels.items():
        task = statistics.tasks[name]
        line = f"  {name}: {label.images} of {statistics.num_samples} images labelled{_by_part(label.by_part)}"
        if label.images:
            line += f"; {100 * (1 - label.valid / label.pixels):.1f} % of their pixels invalid"
            if not task.categorical:
                unit = f" {task.unit}" if task.unit and (task.channels == 1 or name in info.own_tasks) else ""
                line += f"; values {label.lowest:.3g} to {label.highest:.3g}{unit}"
        yield line
    kind = "object" if info.multi_hot else "scene"
    for name, counts in statistics.scenes.items():
        yield f"  {kind} {name}: {counts.total()} images{_by_part(counts)}"
    if statistics.num_without_scene and info.scenes:
        yield f"  {kind} unknown: {statistics.num_without_scene} images"
    for name, label in statistics.labels.items():
        total = max(1, int(label.classes[0].sum()))
        of = f"{name}, " if name in info.own_tasks else ""
        for title, pixels, images in zip(statistics.tasks[name].classes, *label.classes, strict=False):
            yield f"  {of}class {title}: {100 * pixels / total:.2f} % of labelled pixels, in {images} images"


def _by_part(counts: Counter[str]) -> str:
    found = [f"{counts[part]} {part}" for part in SPLIT_PARTS if counts[part]]
    return f" ({', '.join(found)})" if found else ""


def _complain(statistics: DatasetStatistics, bad: list[str]) -> Iterator[str]:
    """Bad files and suspicious findings, the first few of each kind."""
    if bad:
        yield f"BAD: {len(bad)} samples cannot be used (mgm data verify lists all; mgm data prepare --skip-bad skips them)"
        yield from _first(bad)
    for what, names in statistics.suspicious.items():
        yield f"SUSPICIOUS: {what}" + (f" ({len(names)})" if names else "")
        yield from _first(names)


def _first(lines: list[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:MOST_LISTED])
    if len(lines) > MOST_LISTED:
        yield f"  and {len(lines) - MOST_LISTED} more"


def _draw(samples: list[Sample], statistics: DatasetStatistics, out: Path) -> None:
    tasks, scenes = statistics.tasks, statistics.info.scenes
    images = normalise_levels(torch.from_numpy(np.stack([sample.image for sample in samples])))
    images = shown_as_rgb(images, statistics.info.image)
    targets = {
        name: torch.stack([task.from_array(sample.targets[name]) for sample in samples]) for name, task in tasks.items()
    }
    shown = [scene_name(torch.from_numpy(sample.scene), scenes) for sample in samples]
    contact_sheet(out, images, targets, tasks, shown, [sample.name for sample in samples])
