"""Classes inferred from the numbers in label maps if they are not named, and detection of interpolated label maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mgm.data.files import FileTree
from mgm.data.sources.folder.pixels import Palette, read_pixels
from mgm.errors import DataError
from mgm.tasks.files import ClassFiles
from mgm.types import IGNORE_INDEX

MOST_SCANNED = 2000
"""Maximum number of label maps that are read to count unnamed classes."""
STRAY = 0.01
"""Fraction of the pixels below which a number counts as rare."""
GAPLESS = 0.9
"""Fraction of the numbers from 1 to the largest of a label map above which they count as numbers of objects."""
INTERPOLATED = 0.12
"""Fraction of edges through a third class above which label maps count as interpolated. Measured on NYUv2 and CamVid: below 0.06 in
the original label maps and after nearest-neighbour downscaling, above 0.16 after JPEG compression or bilinear resizing."""


def label_numbers(
    tree: FileTree, files: Sequence[str], settings: ClassFiles, palette: Palette
) -> dict[int, tuple[int, str]]:
    """Number in the label maps (including 255) -> its pixel count, and the first file that has it.

    Unreadable files are skipped; they are reported when their sample is read.

    Raises:
        DataError: If there are too many files, or no file has a class.
    """
    if len(files) > MOST_SCANNED:
        raise DataError(
            f"{tree.path}: has {len(files)} label maps, too many to count unnamed classes; list the class names in dataset.yaml, "
            "'classes: [wall, floor]', or one per line in classes.txt"
        )
    numbers: dict[int, tuple[int, str]] = {}
    trouble = ""
    for file in files:
        try:
            values = read_pixels(tree, file, settings.pixels, palette)
            labels, missing = settings.labels(values, tree.describe(file))
        except DataError as error:
            trouble = trouble or str(error)
            continue
        labels = np.concatenate([labels[~missing], np.full((values == IGNORE_INDEX).sum(), IGNORE_INDEX)])
        for number, count in zip(*(found.tolist() for found in np.unique(labels, return_counts=True)), strict=True):
            pixels, first = numbers.get(number, (0, tree.describe(file)))
            numbers[number] = pixels + count, first
    if numbers.keys() <= {IGNORE_INDEX}:
        raise DataError(f"{tree.path}: no label map has a class. {trouble}".strip())
    return numbers


def grey_levels(numbers: Iterable[int]) -> tuple[int, ...]:
    """The numbers in ascending order if they are grey levels spread evenly from 0 (0, 255 or 0, 128, 255); otherwise empty."""
    levels = sorted(numbers)
    gaps = np.diff(levels)
    even = 1 < len(levels) <= IGNORE_INDEX and levels[0] == 0 and gaps.min() >= 10 and gaps.max() <= 2 * gaps.min()
    return tuple(levels) if even else ()


def check_strays(numbers: Mapping[int, tuple[int, str]]) -> None:
    """Raise `DataError` if label maps have evenly spread `grey_levels` except in a few pixels.

    Because of these pixels, every number would count as a class, and 255 as no label, although half of all pixels may have it.
    """
    total = sum(count for count, _ in numbers.values())
    odd = sorted(number for number, (count, _) in numbers.items() if count < STRAY * total)
    levels = grey_levels(numbers.keys() - odd)
    counting = (
        odd == list(range(1, len(odd) + 1)) and len(odd) < IGNORE_INDEX // 2
    )  # rare classes 1, 2, ..., and 255 unlabelled
    few = sum(numbers[number][0] for number in odd) < STRAY * total or len(odd) > IGNORE_INDEX // 3
    if levels and odd and few and not counting:
        number, more = odd[-1], f" (and {len(odd) - 1} other numbers)" if len(odd) > 1 else ""
        names = ", ".join(f"{name}: {level}" for name, level in zip("abcdefghij", levels, strict=False))
        raise DataError(
            f"{numbers[number][1]}: label {number}{more} is in few pixels, while nearly all have {', '.join(map(str, levels))}; a "
            "soft brush or interpolation may have made it: fix the label maps, or ignore such labels with "
            f"'semantic: {{values: {{{names}}}, ignore: {odd[:10] if more else number}}}' in dataset.yaml"
        )


def counts_objects(maps: Sequence[np.ndarray]) -> bool:
    """Whether label maps seem to number the objects of each image, 1, 2, 3, ..., up to a number that differs between images."""
    numbers = [np.unique(labels[(labels != 0) & (labels != IGNORE_INDEX)]) for labels in maps]
    largest = [int(found[-1]) for found in numbers if found.size]
    gapless = [len(found) >= GAPLESS * found[-1] for found in numbers if found.size]
    return max(largest, default=0) >= 10 and 2 * len(set(largest)) > len(maps) > 3 and 2 * sum(gapless) > len(maps)


def interpolated_share(maps: Sequence[np.ndarray]) -> float:
    """Fraction of the edges in label maps ``[H, W]`` at which a pixel has a number between those of its two neighbours."""
    edges = between = 0
    for labels in maps:
        for lines in (labels.astype(np.int64), labels.T.astype(np.int64)):
            before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
            edges += int((before != after).sum())
            between += int(((here - before) * (after - here) > 0).sum())
    return between / edges if edges >= 50 else 0.0
