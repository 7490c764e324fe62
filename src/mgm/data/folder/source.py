"""A folder of one's own as a data set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import open_tree
from mgm.data.folder.index import TASKS, list_pictures
from mgm.data.folder.labels import FILE as LABELS_FILE
from mgm.data.folder.labels import SceneTable, no_scenes, read_labels_file, scenes_from_sets
from mgm.data.folder.settings import read_settings
from mgm.data.folder.values import normal_lengths, raw_labels, read_picture, read_target
from mgm.data.images import check_same_size, planes, resize_nearest, resize_rgb
from mgm.data.splits import random_split
from mgm.data.targets import float_target, missing_target
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import IGNORE_INDEX, DatasetInfo, Sample

READER_VERSION = 1
MOST_SCANNED = 2000
"""Label maps that are read to find out how many classes there are, where nobody says it."""
UNIT_TOLERANCE = 0.1


@final
class FolderSource(DataSource):
    """``rgb/`` and a folder per task, as a folder or zip; see ``docs/data.md``. Pictures are squeezed to a square.

    Labels are matched by name. An image without the label of a task has an invalid one, so images without any label serve
    as weakly labelled or unlabelled ones; they are never in a validation or test set that is made with a seed.

    Args:
        path: The folder or zip archive.

    Raises:
        DataError: If there are no pictures, a label belongs to none, or ``dataset.yaml`` or ``labels.csv`` is wrong.
    """

    def __init__(self, path: Path | str) -> None:
        self._tree = open_tree(path)
        self._settings = read_settings(self._tree)
        self._pictures = list_pictures(self._tree, self._settings)
        self._tasks = tuple(task for task in TASKS if any(task in picture.labels for picture in self._pictures))
        if not self._tasks:
            folders = ", ".join(f"{self._settings.folder(task)}/" for task in TASKS)
            raise DataError(
                f"{self._tree.path}: no picture has a label; labels lie in {folders}, named like their picture"
            )
        self._scenes = self._read_scenes()
        given = {picture.part for picture in self._pictures}
        self.split_kinds = ("random", "official") if given >= {"validation", "test"} else ("random",)

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """Names of the classes: the first source that has them."""
        settings = self._settings
        if "semantic" not in self._tasks:
            return ()
        if settings.classes:
            return settings.classes
        if settings.semantic.colours:
            return tuple(settings.semantic.colours)
        if "classes.txt" in self._tree.names():
            names = tuple(self._tree.lines("classes.txt"))
            if not 1 <= len(names) <= IGNORE_INDEX:
                raise DataError(f"{self._tree.describe('classes.txt')}: {len(names)} class names; needs 1 to 255")
            return names
        return tuple(f"class_{index}" for index in range(self._count_classes()))

    @property
    def info(self) -> DatasetInfo:
        """The tasks that any image has a label of."""
        count = len(self)
        notes = {"image": "squeezed to a square"}
        for task in self._tasks:
            missing = sum(task not in picture.labels for picture in self._pictures)
            if missing:
                notes[task] = f"{missing} of {count} images have no label"
        if "normal" in self._tasks and self._settings.normal.axes == "opengl":
            notes["normal axes"] = "y and z turned, from opengl to opencv"
        return DatasetInfo(
            name=self._settings.name or self._tree.path.resolve().name.removesuffix(".zip"),
            tasks=self._tasks,
            classes=self._classes,
            scenes=self._scenes.names,
            multi_hot=self._scenes.multi_hot,
            notes={**notes, **self._settings.notes},
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images, and a hash of all files."""
        return {"reader": "folder", "version": READER_VERSION, "count": len(self), "files": self._digest}

    @cached_property
    def _digest(self) -> str:
        return self._tree.digest()

    def __len__(self) -> int:
        """Number of images."""
        return len(self._pictures)

    def read(self, index: int, size: int) -> Sample:
        """One sample squeezed to a square; see `DataSource.read`."""
        picture = self._pictures[index]
        rgb = read_picture(self._tree, picture.rgb)
        targets = {}
        for task in self._tasks:
            file = picture.labels.get(task)
            if file is None:
                targets[task] = missing_target(task, size)
                continue
            values = read_target(self._tree, file, task, self._settings, self._classes)
            check_same_size(self._tree.describe(file), values, self._tree.describe(picture.rgb), rgb)
            targets[task] = resize_nearest(values, size, size) if task == "semantic" else float_target(values, size)
        return Sample(planes(resize_rgb(rgb, size, size)), targets, self._scenes.rows[index].copy(), picture.name)

    def splits(self, kind: str, seed: int) -> Splits:
        """``official``: as ``labels.csv`` or the folders say, if both val and test exist; ``random``: 70 / 15 / 15 % by default.

        Where parts are given, ``random`` leaves the given test set alone if there is one, and the validation set likewise.
        Images without any label, or without a given part, are training images.

        Raises:
            ConfigError: If there is no such split.
            DataError: If there are too few labelled images.
        """
        if kind not in self.split_kinds:
            raise ConfigError(unknown(f"split of {self.info.name}", kind, self.split_kinds))
        part = np.array([picture.part for picture in self._pictures])
        labelled = np.array([bool(picture.labels) for picture in self._pictures])
        if kind == "official":
            return _from_parts(part)
        free = np.flatnonzero(labelled & ((part == "") | (part == "train")))
        shares = {"validation": self._settings.split.validation, "test": self._settings.split.test}
        wanted = {
            name: 0 if (part == name).any() else max(1, round(share * len(free))) if share else 0
            for name, share in shares.items()
        }
        made = random_split(len(free), wanted["validation"], wanted["test"], seed)
        part = np.where(part == "", "train", part).astype("U10")
        part[free[made.validation]], part[free[made.test]] = "validation", "test"
        return _from_parts(part)

    def remarks(self, index: int) -> tuple[str, ...]:
        """Normals that are not of unit length in the file; see `DataSource.remarks`."""
        file = self._pictures[index].labels.get("normal")
        if file is None:
            return ()
        lengths = normal_lengths(self._tree, file)
        off = np.abs(lengths - 1) > UNIT_TOLERANCE
        share = float(off[lengths > UNIT_TOLERANCE].mean()) if (lengths > UNIT_TOLERANCE).any() else 1.0
        return (
            (f"{self._tree.describe(file)}: {100 * share:.0f} % of the normals are not of unit length",)
            if share > 0.2
            else ()
        )

    def _read_scenes(self) -> SceneTable:
        """Scene labels, as the settings say where from; the table also fills in the parts of the split."""
        table = read_labels_file(self._tree, self._pictures) if LABELS_FILE in self._tree.names() else None
        if self._settings.scenes == "none":
            return no_scenes(len(self))
        if table is not None and table.names and self._settings.scenes == "auto":
            return table
        return scenes_from_sets([{picture.scene} if picture.scene else None for picture in self._pictures])

    def _count_classes(self) -> int:
        """One more than the largest label; files that cannot be read are left for those who need them."""
        files = [picture.labels["semantic"] for picture in self._pictures if "semantic" in picture.labels]
        if len(files) > MOST_SCANNED:
            raise DataError(
                f"{self._tree.path}: has {len(files)} label maps and no names of classes; list them in dataset.yaml, "
                "'classes: [wall, floor]', or one per line in classes.txt"
            )
        ignored = [IGNORE_INDEX, *self._settings.semantic.ignore]
        largest, trouble = -1, ""
        for file in files:
            try:
                labels = raw_labels(self._tree, file)
            except DataError as error:
                trouble = trouble or str(error)
                continue
            valid = labels[~np.isin(labels, ignored)]
            largest = max(largest, int(valid.max())) if valid.size else largest
        if not 0 <= largest < IGNORE_INDEX:
            what = f"the largest label is {largest}" if largest >= 0 else f"no label map has a class. {trouble}".strip()
            raise DataError(f"{self._tree.path}: {what}; labels are 0..254, and 255 where there is none")
        return largest + 1


def _from_parts(part: np.ndarray) -> Splits:
    validation, test = np.flatnonzero(part == "validation"), np.flatnonzero(part == "test")
    return Splits(np.setdiff1d(np.arange(len(part)), np.concatenate([validation, test])), validation, test)
