"""What label maps tell about the classes where nobody names them, and whether their numbers are made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mgm.data.files import FileTree
from mgm.data.sources.folder.pixels import Palette, read_pixels
from mgm.errors import DataError
from mgm.tasks.files import ClassFiles
from mgm.types import IGNORE_INDEX

MOST_SCANNED = 2000
"""Label maps that are read to count the classes, where nothing names them."""
STRAY = 0.01
"""Share of the pixels below which a number is in few pixels."""
INTERPOLATED = 0.12
"""Share of the edges that pass through a third class, from which on label maps are taken for interpolated. Measured: below 0.06 in
label maps of NYUv2 and CamVid also where these are scaled down by nearest neighbour, above 0.16 where they are JPEG or bilinear."""


def label_numbers(
    tree: FileTree, files: Sequence[str], settings: ClassFiles, palette: Palette
) -> dict[int, tuple[int, str]]:
    """The numbers that occur in label maps, 255 among them -> how many pixels have them, and the first file that does.

    Files that cannot be read are left for those who need them.

    Raises:
        DataError: If there are too many files, or none has a number that stands for a class.
    """
    if len(files) > MOST_SCANNED:
        raise DataError(
            f"{tree.path}: has {len(files)} label maps and no names of classes; list them in dataset.yaml, "
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
    """The numbers, where they are spread evenly from 0 on, such as 0 and 255 or 0, 128, 255: shades that stand for classes."""
    levels = sorted(numbers)
    gaps = np.diff(levels)
    even = 1 < len(levels) <= IGNORE_INDEX and levels[0] == 0 and gaps.min() >= 10 and gaps.max() <= 2 * gaps.min()
    return tuple(levels) if even else ()


def check_strays(numbers: Mapping[int, tuple[int, str]]) -> None:
    """Raise `DataError` where label maps have shades, as of `grey_levels`, but for a few pixels.

    With these, all numbers would be taken for classes, and 255 for no label, though it may be half of all pixels.
    """
    total = sum(count for count, _ in numbers.values())
    odd = sorted(number for number, (count, _) in numbers.items() if count < STRAY * total)
    levels = grey_levels(numbers.keys() - odd)
    counting = odd == list(range(1, len(odd) + 1)) and len(odd) < IGNORE_INDEX // 2  # small classes, and 255 is none
    few = sum(numbers[number][0] for number in odd) < STRAY * total or len(odd) > IGNORE_INDEX // 3
    if levels and odd and few and not counting:
        number, more = odd[-1], f" (and {len(odd) - 1} other numbers)" if len(odd) > 1 else ""
        names = ", ".join(f"{name}: {level}" for name, level in zip("abcdefghij", levels, strict=False))
        raise DataError(
            f"{numbers[number][1]}: label {number}{more} is in few pixels, where nearly all have {', '.join(map(str, levels))}: "
            f"a soft brush, or interpolation? Mend the label maps, or say what is none: 'semantic: {{values: {{{names}}}, "
            f"ignore: {odd[:10] if more else number}}}' in dataset.yaml"
        )


def interpolated_share(maps: Sequence[np.ndarray]) -> float:
    """Share of the edges in label maps ``[H, W]`` at which a number between those on both sides is passed through."""
    edges = between = 0
    for labels in maps:
        for lines in (labels.astype(np.int64), labels.T.astype(np.int64)):
            before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
            edges += int((before != after).sum())
            between += int(((here - before) * (after - here) > 0).sum())
    return between / edges if edges >= 50 else 0.0
