"""The layout of the public code of MGM's authors: one folder per label, in it one folder per type of scene.

Bao, Hebert, Wang: Generative Modeling for Multi-task Visual Learning, ICML 2022; zpbao/multi-task-oriented_generative_modeling.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import FileTree, open_tree
from mgm.data.images import check_same_size, planes, read_array, read_rgb, resize_nearest, resize_rgb
from mgm.data.nyuv2 import PAPER_TRAIN
from mgm.data.nyuv2_mat import PAPER_COUNT
from mgm.data.splits import random_split
from mgm.data.targets import float_target, missing_target, one_hot, read_class_plane, read_plane, unit_normals
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import DatasetInfo, Sample

READER_VERSION = 1
NUM_CLASSES = 40
FOLDERS = {"rgb": "rgb", "ss": "semantic", "de": "depth", "sn": "normal", "nm": "normal", "msk": "mask"}
"""Folder -> what it holds."""
LOOKED_AT = 50
"""Label maps that are looked at to tell whether classes count from 0 or from 1."""
_ARRAYS = ("semantic", "depth")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_TASKS = ("semantic", "depth", "normal")
_KINDS = ("random",)


class AuthorsSource(DataSource):
    """``{rgb,ss,de,nm,msk}/SCENE/NAME``: ``ss`` and ``de`` as .npy, the others as pictures; squeezed to a square.

    Files belong together if scene and name (without ending) are the same; the authors' own loader pairs them by order.
    ``nm`` may be called ``sn``. Labels are classes from 0, or 1..40 with 0 for unlabelled if the value 40 occurs; negative
    ones and 255 are ignored. ``classes.txt`` in the top folder names the classes; without it there are 40. Depth is in
    metres; pictures of normals show (n + 1) / 2; where the mask is black depth and normals are invalid.

    Args:
        path: The folder or zip archive.

    Raises:
        DataError: If there are no images, or two files of one kind belong to the same image.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str) -> None:
        self._tree = open_tree(path)
        self._files = _list_files(self._tree)
        self._names = sorted(self._files["rgb"])
        if not self._names:
            raise DataError(f"{self._tree.path}: holds no picture rgb/SCENE/NAME; the data set is not complete")
        self._scenes = tuple(sorted({name.partition("/")[0] for name in self._names}))
        self._tasks = tuple(task for task in _TASKS if any(name in self._files[task] for name in self._names))
        listed = "classes.txt" in self._tree.names()
        self._classes = (
            tuple(self._tree.lines("classes.txt"))
            if listed
            else tuple(f"class_{index}" for index in range(NUM_CLASSES))
        )
        self._first = self._first_class()

    @property
    def info(self) -> DatasetInfo:
        """The tasks that have any file; the folders are the scenes."""
        missing = {task: sum(name not in self._files[task] for name in self._names) for task in self._tasks}
        lacking = ", ".join(f"{count} without {task}" for task, count in missing.items() if count)
        return DatasetInfo(
            name="authors",
            tasks=self._tasks,
            classes=self._classes if "semantic" in self._tasks else (),
            scenes=self._scenes,
            notes={
                "semantic": f"classes count from {self._first}{', 0 is unlabelled' if self._first else ''}",
                "depth": "as in the files, taken for metres; invalid where not positive or masked",
                "normal": "as in the pictures, of which the axes are not documented; invalid where grey or masked",
                "files": f"{len(self)} images; {lacking or 'all have every label'}",
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images, and a hash of all files."""
        return {"reader": "authors", "version": READER_VERSION, "count": len(self), "files": self._tree.digest()}

    def __len__(self) -> int:
        """Number of pictures in ``rgb``."""
        return len(self._names)

    def read(self, index: int, size: int) -> Sample:
        """One sample squeezed to a square; see `DataSource.read`."""
        name = self._names[index]
        where = self._tree.describe(self._files["rgb"][name])
        rgb = read_rgb(self._tree.read(self._files["rgb"][name]), where)
        mask = self._values("mask", name, where, rgb)
        targets = {}
        for task in self._tasks:
            values = self._values(task, name, where, rgb)
            if values is None:
                targets[task] = missing_target(task, size)
            elif task == "semantic":
                targets[task] = resize_nearest(values, size, size)
            else:
                valid = True if mask is None else mask if values.ndim == 2 else mask[:, :, None]
                targets[task] = float_target(np.where(valid, values, np.nan), size)
        scene = one_hot(self._scenes.index(name.partition("/")[0]), len(self._scenes))
        return Sample(planes(resize_rgb(rgb, size, size)), targets, scene, name)

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images: ``random``, the paper's 1,049 / 200 / 200 of 1,449, or those shares of another number.

        Raises:
            ConfigError: If ``kind`` is another one.
            DataError: If there are too few images.
        """
        if kind != "random":
            raise ConfigError(unknown("split of authors", kind, _KINDS))
        held_out = max(1, round(len(self) * (PAPER_COUNT - PAPER_TRAIN) / 2 / PAPER_COUNT))
        return random_split(len(self), held_out, held_out, seed)

    def _values(self, kind: str, name: str, where: str, rgb: np.ndarray) -> np.ndarray | None:
        """Full-size values of one label, None if there is no file."""
        file = self._files[kind].get(name)
        if file is None:
            return None
        content, described = self._tree.read(file), self._tree.describe(file)
        if kind == "semantic":
            values = read_class_plane(content, described, len(self._classes), self._first)
        elif kind == "depth":
            metres = read_plane(content, described).astype(np.float64)
            values = np.where(np.isfinite(metres) & (metres > 0), metres, np.nan)
        elif kind == "normal":
            values = unit_normals(read_rgb(content, described) / np.float32(127.5) - 1)
        else:
            values = read_rgb(content, described).max(axis=2) >= 128
        check_same_size(described, values, where, rgb)
        return values

    def _first_class(self) -> int:
        """1 if a label is the number of classes, else 0; unreadable files are reported when they are read."""
        for name in sorted(self._files["semantic"])[:LOOKED_AT]:
            file = self._files["semantic"][name]
            try:
                labels = read_array(self._tree.read(file), self._tree.describe(file))
            except DataError:
                continue
            if (labels == len(self._classes)).any():
                return 1
        return 0


def _list_files(tree: FileTree) -> dict[str, dict[str, str]]:
    """What a file holds -> ``SCENE/NAME`` without ending -> relative name."""
    found: dict[str, dict[str, str]] = {kind: {} for kind in FOLDERS.values()}
    for file in tree.names():
        folder, _, name = file.partition("/")
        stem, dot, ending = name.rpartition(".")
        kind = FOLDERS.get(folder)
        fits = f"{dot}{ending}".lower() == ".npy" if kind in _ARRAYS else f"{dot}{ending}".lower() in _PICTURES
        if kind is None or not fits or "/" not in stem:
            continue
        if stem in found[kind]:
            raise DataError(
                f"{tree.describe(file)}: belongs to the same image as {found[kind][stem]}; remove one of them"
            )
        found[kind][stem] = file
    return found
