"""NYUv2 and Cityscapes as preprocessed for MTAN: one ``.npy`` array per image and label.

Liu, Johns, Davison: End-to-End Multi-Task Learning with Attention, CVPR 2019.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.cityscapes import LABELS, MIN_DISPARITY_PX, TRAIN_IDS
from mgm.data.files import open_tree
from mgm.data.images import check_same_size, planes, resize_nearest, resize_rgb
from mgm.data.nyuv2_files import NAMES_13
from mgm.data.splits import random_split
from mgm.data.targets import classes_in_view, float_target, missing_target, read_class_plane, read_plane, unit_normals
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import DatasetInfo, Sample

READER_VERSION = 1
PARTS = ("train", "val")
CITYSCAPES_FOCAL_M_PX = 0.209313 * 2262.52
"""Baseline in metres times focal length in pixels of the usual camera of Cityscapes; MTAN's files do not keep the picture's own."""
INVERSE_DEPTH_UNITS = 65535
"""MTAN's inverse depth times this is the value of Cityscapes' 16-bit disparity picture (lorenmt/mtan, issue 25)."""
_KINDS = ("random", "official")
_CITYSCAPES_LABELS = ("label_19", "label_7", "label_2")
_TASKS = ("semantic", "depth", "normal")


class MtanSource(DataSource):
    """``{train,val}/{image,label,depth,normal}/NUMBER.npy``, arrays H x W x C, squeezed to a square.

    NYUv2 has ``label`` with 13 classes, ``depth`` in metres and ``normal``. Cityscapes has ``label_2``, ``label_7`` or
    ``label_19`` and an inverse depth, which is turned into metres. The scene label is multi-hot: the classes in view, since
    the files have none.

    Args:
        path: The folder or zip archive.
        labels: Name of the label folder; by default ``label`` or else the one with most classes.

    Raises:
        ConfigError: If there is no such label folder.
        DataError: If there are no images.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str, labels: str = "") -> None:
        self._tree = open_tree(path)
        files = {name.removesuffix(".npy") for name in self._tree.names() if name.endswith(".npy")}
        self._names = sorted(
            (f"{part}/{stem}" for part in PARTS for stem in _stems(files, f"{part}/image")), key=_by_number
        )
        if not self._names:
            raise DataError(
                f"{self._tree.path}: holds no array {{train,val}}/image/NUMBER.npy; fetch MTAN's data again"
            )
        choices = [name for name in ("label", *_CITYSCAPES_LABELS) if any(f"/{name}/" in file for file in files)]
        if labels and labels not in choices:
            raise ConfigError(unknown("label folder", labels, choices))
        self._labels = labels or (choices[0] if choices else "label")
        self._street = any(name in choices for name in _CITYSCAPES_LABELS)
        self._classes = _class_names(self._labels) if choices else ()
        self._files = files
        folders = {"semantic": self._labels, "depth": "depth", "normal": "normal"}
        self._folders = {
            task: folders[task]
            for task in _TASKS
            if any(f"{part}/{folders[task]}/" in file for part in PARTS for file in files)
        }

    @property
    def info(self) -> DatasetInfo:
        """The tasks that have any file; the weak labels are the classes."""
        inverse = f"from inverse depth with the usual camera ({CITYSCAPES_FOCAL_M_PX:.1f} m px), invalid below 1 px of disparity"
        lacking = {task: sum(self._file(name, task) is None for name in self._names) for task in self._folders}
        missing = ", ".join(f"{count} without {task}" for task, count in lacking.items() if count)
        return DatasetInfo(
            name="mtan_cityscapes" if self._street else "mtan_nyuv2",
            tasks=tuple(self._folders),
            classes=self._classes,
            scenes=self._classes,
            multi_hot=True,
            notes={
                "scene": "multi-hot: the classes in view, there are no scene labels in this form",
                "depth": f"metres{', ' + inverse if self._street else '; not positive is invalid'}",
                "normal": "as in the files, of which the axes are not documented; zero vectors are invalid",
                "files": f"{len(self)} images; {missing or 'all have every label'}",
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, label folder, number of images, and a hash of all files."""
        return {
            "reader": "mtan",
            "version": READER_VERSION,
            "count": len(self),
            "labels": self._labels,
            "files": self._tree.digest(),
        }

    def __len__(self) -> int:
        """Number of images in both parts."""
        return len(self._names)

    def read(self, index: int, size: int) -> Sample:
        """One sample squeezed to a square; see `DataSource.read`."""
        part, _, stem = self._names[index].partition("/")
        name = f"{part}/image/{stem}.npy"
        where = self._tree.describe(name)
        rgb = _as_rgb(read_plane(self._tree.read(name), where, channels=3), where)
        targets = {task: missing_target(task, size) for task in self._folders}
        scene = np.full(len(self._classes), np.nan, np.float32)
        for task in self._folders:
            file = self._file(self._names[index], task)
            if file is None:
                continue
            content, described = self._tree.read(file), self._tree.describe(file)
            if task == "semantic":
                values = read_class_plane(content, described, len(self._classes))
                scene = classes_in_view(values, len(self._classes))
            elif task == "depth":
                values = self._metres(read_plane(content, described))
            else:
                values = unit_normals(read_plane(content, described, channels=3))
            check_same_size(described, values, where, rgb)
            targets[task] = resize_nearest(values, size, size) if task == "semantic" else float_target(values, size)
        return Sample(planes(resize_rgb(rgb, size, size)), targets, scene, self._names[index])

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images: ``random`` 80 / 10 / 10 %; ``official``: ``val`` is the test, a tenth of ``train`` the validation.

        Raises:
            ConfigError: If ``kind`` is neither.
            DataError: If there are too few images.
        """
        if kind == "random":
            held_out = max(1, round(len(self) / 10))
            return random_split(len(self), held_out, held_out, seed)
        if kind == "official":
            num_train = sum(name.startswith("train/") for name in self._names)
            if num_train in (0, len(self)):
                raise DataError(
                    f"{self._tree.path}: the official split needs images in train and in val; use the split 'random'"
                )
            inner = random_split(num_train, max(1, round(num_train / 10)), 0, seed)
            return Splits(inner.train, inner.validation, np.arange(num_train, len(self)))
        raise ConfigError(unknown("split of mtan", kind, _KINDS))

    def _file(self, name: str, task: str) -> str | None:
        """The array of an image's label, if there is one."""
        part, _, stem = name.partition("/")
        file = f"{part}/{self._folders[task]}/{stem}"
        return f"{file}.npy" if file in self._files else None

    def _metres(self, values: np.ndarray) -> np.ndarray:
        """Depth in metres, NaN where there is none."""
        values = values.astype(np.float64)
        if not self._street:
            return np.where(np.isfinite(values) & (values > 0), values, np.nan)
        disparity = (values * INVERSE_DEPTH_UNITS - 1) / 256
        usable = np.isfinite(disparity) & (disparity >= MIN_DISPARITY_PX)
        return np.where(usable, CITYSCAPES_FOCAL_M_PX / np.where(usable, disparity, 1), np.nan)


def _stems(files: set[str], folder: str) -> list[str]:
    return [name.rpartition("/")[2] for name in files if name.rpartition("/")[0] == folder]


def _by_number(name: str) -> tuple[str, int, str]:
    """Sorts train before val, and by number within."""
    part, _, stem = name.partition("/")
    return part, int(stem) if stem.isdecimal() else -1, stem


def _class_names(labels: str) -> tuple[str, ...]:
    if labels == "label":
        return NAMES_13
    if labels == "label_19":
        return tuple(LABELS[number] for number in TRAIN_IDS)
    return tuple(f"class_{index}" for index in range(int(labels.removeprefix("label_"))))


def _as_rgb(values: np.ndarray, where: str) -> np.ndarray:
    """Colours in [0, 1] as uint8; uint8 as it is."""
    if values.dtype == np.uint8:
        return values
    if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1.001:
        raise DataError(
            f"{where}: colours must be uint8 or lie in [0, 1], not {values.min():g} to {values.max():g}; write it again"
        )
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
