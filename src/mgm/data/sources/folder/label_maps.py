"""The classes of a folder's label maps: what names, numbers and colours they have."""

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
"""Label maps that are read to tell whether classes count from 0 or from 1."""
LEAST_GAP = 8
"""Difference of two colours in their most different channel, of 255, from which they can be told apart."""


@dataclass
class LabelMaps:
    """What is said of the classes, or else found in the label maps; these are read when it is asked for.

    Args:
        tree: The folder.
        settings: What is said.
        maps: Files of the label maps; none: there are no classes.
        palette: What their indices look like, see `read_pixels`.
    """

    tree: FileTree
    settings: FolderSettings
    maps: Sequence[str]
    palette: Palette

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: the first source that has them.

        Raises:
            DataError: If there are numbers that cannot be classes.
        """
        if not self.maps:
            return ()
        largest = max(self._numbers.keys() - {IGNORE_INDEX}, default=-1)
        if not self._named and not self.levels and not 0 <= largest < IGNORE_INDEX:
            raise DataError(
                f"{self._numbers[largest][1]}: label {largest}, but labels are 0..254, and 255 where there is none; if it means "
                f"none, 'semantic: {{ignore: {largest}}}' in dataset.yaml; if classes have such numbers, "
                "'semantic: {values: {NAME: NUMBER}}'"
            )
        if not self._named and not self.levels and self._plain:
            check_strays(self._numbers)
        return self._named or tuple(f"class_{number}" for number in self.levels or range(largest + 1))

    @cached_property
    def _named(self) -> tuple[str, ...]:
        """The classes as the user names them, if so."""
        settings, file = self.settings, self.settings.class_file
        names = settings.classes or tuple(settings.class_files.colours or settings.class_files.values)
        # a list that the settings name has to be there
        if not names and (file in self.tree.names() or file != FolderSettings.class_file):
            names = tuple(self.tree.lines(file))
            wanted = settings.num_classes
            if not 1 <= len(names) <= IGNORE_INDEX or (wanted and len(names) != wanted):
                needed = wanted or f"1 to {IGNORE_INDEX}"
                raise DataError(f"{self.tree.describe(file)}: {len(names)} class names; needs {needed}")
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise DataError(
                    f"{self.tree.describe(file)}: class {twice[0]!r} stands twice; give every class its own name"
                )
        return names or tuple(f"class_{index}" for index in range(settings.num_classes))

    @cached_property
    def _numbers(self) -> dict[int, tuple[int, str]]:
        """The numbers in the label maps where nobody names the classes; see `label_numbers`."""
        return {} if self._named else label_numbers(self.tree, self.maps, self.settings.class_files, self.palette)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """The numbers in the label maps where these are shades and nobody says what they mean."""
        return grey_levels(self._numbers) if self._plain else ()

    @property
    def _plain(self) -> bool:
        """Whether nobody says what the numbers in the label maps mean."""
        files = self.settings.class_files
        return files == ClassFiles(files.folder, files.suffix)

    @cached_property
    def files(self) -> ClassFiles:
        """How the label maps are read, with what is found out if nothing says it: the first class, or numbers that are shades."""
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
        """Of the classes, from the settings or the palette of the first label map; empty where they can hardly be told apart."""
        if not self.classes:
            return ()
        if self.files.colours:
            return tuple(self.files.colours[name] for name in self.classes)
        numbers = [self.files.values[name] for name in self.classes] if self.files.values else None
        first = int(self.files.first or 0)
        try:
            palette = read_palette(self.tree.read(self.maps[0]), self.tree.describe(self.maps[0]))
        except DataError:  # an array, or damaged, which is reported when the sample is read
            return ()
        known = dict(enumerate(palette))
        found = [known.get(number) for number in numbers or range(first, first + len(self.classes))]
        colours = tuple(colour for colour in found if colour is not None)
        apart = (max(map(abs, np.subtract(one, other).tolist())) for one, other in combinations(colours, 2))
        return colours if len(colours) == len(self.classes) and all(gap > LEAST_GAP for gap in apart) else ()
