"""Classes of the label maps of a folder, named or counted: names, labels and colours; detection of interpolated label maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from mgm.data.files import FileTree
from mgm.data.images import read_palette
from mgm.data.sources.folder.pixels import read_pixels
from mgm.data.sources.folder.settings import FolderSettings
from mgm.errors import DataError
from mgm.tasks.files import ClassFiles, Colour
from mgm.types import IGNORE_INDEX

MOST_LOOKED_AT = 50
"""Maximum number of label maps that are read to find out whether labels start at 0 or 1."""
LEAST_GAP = 8
"""Two colours are distinguishable if they differ by more than this (of 255) in some channel."""
MOST_SCANNED = 2000
"""Maximum number of label maps that are read to count unnamed classes."""
STRAY = 0.01
"""Fraction of the pixels below which a number counts as rare."""
GAPLESS = 0.9
"""Fraction of the numbers from 1 to the largest of a label map above which they count as numbers of objects."""
INTERPOLATED = 0.12
"""Fraction of edges through a third class above which label maps count as interpolated. Measured on NYUv2 and CamVid: below 0.06 in
the original label maps and after nearest-neighbour downscaling, above 0.16 after JPEG compression or bilinear resizing."""


@dataclass
class LabelMaps:
    """Classes from the settings or, if these do not define them, from the label maps, which are read on first access.

    There are no classes if there are no ``maps``.
    """

    tree: FileTree
    settings: FolderSettings
    maps: Sequence[str]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, from the settings, a list, or the numbers in the label maps.

        Raises:
            DataError: If there are numbers that cannot be classes.
        """
        if not self.maps:
            return ()
        largest = max(self._numbers.keys() - {IGNORE_INDEX}, default=-1)
        if not self.named and not self.levels and not 0 <= largest < IGNORE_INDEX:
            raise DataError(
                f"{self._numbers[largest][1]}: label {largest} is out of range: labels are 0..254, and 255 means no class; if it "
                f"means no class, set 'semantic: {{ignore: {largest}}}' in dataset.yaml; if classes have such numbers, set "
                "'semantic: {values: {NAME: NUMBER}}'; if they number single objects, give all objects of a kind the same number"
            )
        if not self.named and not self.levels and self._plain:
            check_strays(self._numbers)
        first = self.settings.class_files.first
        counted = range(first if isinstance(first, int) else 0, largest + 1)
        return self.named or tuple(f"class_{number}" for number in self.levels or counted)

    @cached_property
    def named(self) -> tuple[str, ...]:
        """Class names given by the user; empty if there are none."""
        settings, file = self.settings, self.settings.class_file
        names = settings.classes or tuple(settings.class_files.colours or settings.class_files.values)
        # a list named in the settings must exist
        if not names and (file in self.tree.names() or file != FolderSettings.class_file):
            names = tuple(self.tree.lines(file))
            wanted = settings.num_classes
            if not 1 <= len(names) <= IGNORE_INDEX or (wanted and len(names) != wanted):
                needed = wanted or f"1 to {IGNORE_INDEX}"
                raise DataError(f"{self.tree.describe(file)}: has {len(names)} class names, but {needed} are needed")
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise DataError(
                    f"{self.tree.describe(file)}: class {twice[0]!r} is listed twice; give every class its own name"
                )
        return names or tuple(f"class_{index}" for index in range(settings.num_classes))

    @cached_property
    def _numbers(self) -> dict[int, tuple[int, str]]:
        """Number in the label maps (including 255) -> its pixel count, and the first file that has it; empty for named classes.

        Unreadable files are skipped; they are reported when their sample is read.

        Raises:
            DataError: If there are too many files, or no file has a class.
        """
        if self.named:
            return {}
        if len(self.maps) > MOST_SCANNED:
            raise DataError(
                f"{self.tree.path}: has {len(self.maps)} label maps, too many to count unnamed classes; list the class names in "
                "dataset.yaml, 'classes: [wall, floor]', or one per line in classes.txt"
            )
        numbers: dict[int, tuple[int, str]] = {}
        settings, trouble = self.settings.class_files, ""
        for file in self.maps:
            try:
                values = read_pixels(self.tree, file, settings.pixels)
                labels, missing = settings.labels(values, self.tree.describe(file))
            except DataError as error:
                trouble = trouble or str(error)
                continue
            labels = np.concatenate([labels[~missing], np.full((values == IGNORE_INDEX).sum(), IGNORE_INDEX)])
            for number, count in zip(*(found.tolist() for found in np.unique(labels, return_counts=True)), strict=True):
                pixels, first = numbers.get(number, (0, self.tree.describe(file)))
                numbers[number] = pixels + count, first
        if numbers.keys() <= {IGNORE_INDEX}:
            raise DataError(f"{self.tree.path}: no label map has a class. {trouble}".strip())
        return numbers

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Numbers in the label maps if they are grey levels without a declared meaning, else empty."""
        return grey_levels(self._numbers) if self._plain else ()

    @property
    def _plain(self) -> bool:
        """Whether the settings do not define the numbers in the label maps."""
        files = self.settings.class_files
        return files == ClassFiles(files.folder, files.suffix)

    @cached_property
    def files(self) -> ClassFiles:
        """Settings of the label maps, completed by the inferred first label or grey levels."""
        settings, classes = self.settings.class_files, self.classes
        if self.levels:
            return replace(settings, values=dict(zip(classes, self.levels, strict=True)))
        if settings.first != "auto":
            return settings
        for file in self.maps[:MOST_LOOKED_AT]:
            try:
                if (read_pixels(self.tree, file, settings.pixels) == len(classes)).any():
                    return replace(settings, first=1)
            except DataError:  # reported when the sample is read
                continue
        return replace(settings, first=0)

    @cached_property
    def colours(self) -> tuple[Colour, ...]:
        """Class colours from the settings or the palette of the first label map; empty if missing or hard to distinguish."""
        if not self.classes:
            return ()
        if self.files.colours:
            return tuple(self.files.colours[name] for name in self.classes)
        numbers = [self.files.values[name] for name in self.classes] if self.files.values else None
        first = int(self.files.first or 0)
        try:
            palette = read_palette(self.tree.read(self.maps[0]), self.tree.describe(self.maps[0]))
        except DataError:  # an array, or a damaged file, which is reported when the sample is read
            return ()
        known = dict(enumerate(palette))
        found = [known.get(number) for number in numbers or range(first, first + len(self.classes))]
        colours = tuple(colour for colour in found if colour is not None)
        apart = (max(map(abs, np.subtract(one, other).tolist())) for one, other in combinations(colours, 2))
        return colours if len(colours) == len(self.classes) and all(gap > LEAST_GAP for gap in apart) else ()


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
    # rare classes 1, 2, ..., and 255 unlabelled
    counting = odd == list(range(1, len(odd) + 1)) and len(odd) < IGNORE_INDEX // 2
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
