"""Classes of the label maps of a folder: their names, labels and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from mgm.data.files import FileTree
from mgm.data.images import read_palette
from mgm.data.sources.folder.counting import check_strays, grey_levels, label_numbers
from mgm.data.sources.folder.pixels import Palette, read_pixels
from mgm.data.sources.folder.settings import FolderSettings
from mgm.errors import DataError
from mgm.tasks.files import ClassFiles, Colour
from mgm.types import IGNORE_INDEX

MOST_LOOKED_AT = 50
"""Maximum number of label maps that are read to find out whether labels start at 0 or 1."""
LEAST_GAP = 8
"""Two colours are distinguishable if they differ by more than this (of 255) in some channel."""


@dataclass
class LabelMaps:
    """Classes from the settings or, if these do not define them, from the label maps, which are read on first access.

    There are no classes if there are no ``maps``; the ``palette`` has the colours of the indices, see `read_pixels`.
    """

    tree: FileTree
    settings: FolderSettings
    maps: Sequence[str]
    palette: Palette

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
        return self.named or tuple(f"class_{number}" for number in self.levels or range(largest + 1))

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
        """Numbers in the label maps if the classes are not named, else empty; see `label_numbers`."""
        return {} if self.named else label_numbers(self.tree, self.maps, self.settings.class_files, self.palette)

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
                if (read_pixels(self.tree, file, settings.pixels, self.palette) == len(classes)).any():
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
