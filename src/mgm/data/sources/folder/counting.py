"""What label maps tell about the classes where nobody names them, and whether their numbers are made up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mgm.data.files import FileTree
from mgm.data.sources.folder.pixels import read_pixels
from mgm.errors import DataError
from mgm.tasks.files import ClassFiles
from mgm.types import IGNORE_INDEX

MOST_SCANNED = 2000
"""Label maps that are read to count the classes, where nothing names them."""
INTERPOLATED = 0.12
"""Share of the edges that pass through a third class, from which on label maps are taken for interpolated. Measured: below 0.06 in
label maps of NYUv2 and CamVid also where these are scaled down by nearest neighbour, above 0.16 where they are JPEG or bilinear."""


def label_numbers(tree: FileTree, files: Sequence[str], settings: ClassFiles) -> set[int]:
    """The numbers that occur in label maps, 255 among them; files that cannot be read are left for those who need them.

    Raises:
        DataError: If there are too many files, or none has a number that stands for a class.
    """
    if len(files) > MOST_SCANNED:
        raise DataError(
            f"{tree.path}: has {len(files)} label maps and no names of classes; list them in dataset.yaml, "
            "'classes: [wall, floor]', or one per line in classes.txt"
        )
    numbers: set[int] = set()
    trouble = ""
    for file in files:
        try:
            values = read_pixels(tree, file, settings.pixels)
            labels, missing = settings.labels(values, tree.describe(file))
        except DataError as error:
            trouble = trouble or str(error)
            continue
        numbers.update(np.unique(labels[~missing]).tolist())
        if (values == IGNORE_INDEX).any():
            numbers.add(IGNORE_INDEX)
    if numbers <= {IGNORE_INDEX}:
        raise DataError(f"{tree.path}: no label map has a class. {trouble}".strip())
    return numbers


def grey_levels(numbers: Iterable[int]) -> tuple[int, ...]:
    """The numbers, where they are spread evenly from 0 on, such as 0 and 255 or 0, 128, 255: shades that stand for classes."""
    levels = sorted(numbers)
    gaps = np.diff(levels)
    even = 1 < len(levels) <= IGNORE_INDEX and levels[0] == 0 and gaps.min() >= 10 and gaps.max() <= 2 * gaps.min()
    return tuple(levels) if even else ()


def interpolated_share(maps: Sequence[np.ndarray]) -> float:
    """Share of the edges in label maps ``[H, W]`` at which a number between those on both sides is passed through."""
    edges = between = 0
    for labels in maps:
        for lines in (labels.astype(np.int64), labels.T.astype(np.int64)):
            before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
            edges += int((before != after).sum())
            between += int(((here - before) * (after - here) > 0).sum())
    return between / edges if edges >= 50 else 0.0
