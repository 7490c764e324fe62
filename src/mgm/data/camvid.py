"""CamVid: road scenes with 11 classes; the classes in view are the weak label.

Brostow, Fauqueur, Cipolla: Semantic Object Classes in Video, Pattern Recognition Letters 2009.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import FileTree, open_tree
from mgm.data.images import check_labels, check_same_size, planes, read_labels, read_rgb, resize_nearest, resize_rgb
from mgm.data.splits import random_split
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import IGNORE_INDEX, DatasetInfo, Sample

READER_VERSION = 1
PARTS = ("train", "val", "test")
_KINDS = ("random", "official")


class CamVidSource(DataSource):
    """CamVid as a folder or zip: ``{train,val,test}/{rgb/NAME.jpg,semantic/NAME.png}`` and ``classes.txt``.

    Pictures are squeezed to a square. The scene label is multi-hot: the classes that occur in the full-size label map.
    Frames come from a few videos: neighbouring ones look alike, so the random split is easier than the official one.

    Args:
        path: The folder or zip archive.

    Raises:
        DataError: If the list of classes, a folder or the partner of a file is missing.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str) -> None:
        self._tree = open_tree(path)
        self._classes = tuple(self._tree.lines("classes.txt"))
        if not 1 <= len(self._classes) <= IGNORE_INDEX:
            raise DataError(f"{self._tree.describe('classes.txt')}: {len(self._classes)} class names; needs 1 to 255")
        self._parts = {part: _paired_names(self._tree, part) for part in PARTS}
        self._names = [f"{part}/{stem}" for part in PARTS for stem in self._parts[part]]

    @property
    def info(self) -> DatasetInfo:
        """Segmentation alone; the weak labels are the classes."""
        return DatasetInfo(
            name="camvid",
            tasks=("semantic",),
            classes=self._classes,
            scenes=self._classes,
            multi_hot=True,
            notes={
                "scene": "multi-hot: the classes in view; most are nearly always present",
                "image": "4:3 pictures squeezed to a square",
                "split": "frames of a few videos: neighbours look alike, random is easier than the official split",
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images, and a hash of all files."""
        return {"reader": "camvid", "version": READER_VERSION, "count": len(self), "files": self._tree.digest()}

    def __len__(self) -> int:
        """Number of images in all three parts."""
        return len(self._names)

    def read(self, index: int, size: int) -> Sample:
        """One sample squeezed to a square; see `DataSource.read`."""
        part, _, stem = self._names[index].partition("/")
        rgb_name, label_name = f"{part}/rgb/{stem}.jpg", f"{part}/semantic/{stem}.png"
        rgb = read_rgb(self._tree.read(rgb_name), self._tree.describe(rgb_name))
        labels = read_labels(self._tree.read(label_name), self._tree.describe(label_name))
        check_same_size(self._tree.describe(label_name), labels, self._tree.describe(rgb_name), rgb)
        check_labels(labels, len(self._classes), self._tree.describe(label_name))
        counts = np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[: len(self._classes)]
        scene = (counts > 0).astype(np.float32) if counts.any() else np.full(len(counts), np.nan, np.float32)
        return Sample(
            image=planes(resize_rgb(rgb, size, size)),
            targets={"semantic": resize_nearest(labels, size, size).astype(np.uint8)},
            scene=scene,
            name=self._names[index],
        )

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images: ``official`` as the folders say (367 / 101 / 233), ``random`` 70 / 15 / 15 %.

        Raises:
            ConfigError: If ``kind`` is neither.
            DataError: If there are too few images.
        """
        if kind == "random":
            held_out = max(1, round(0.15 * len(self)))
            return random_split(len(self), held_out, held_out, seed)
        if kind == "official":
            ends = np.cumsum([len(self._parts[part]) for part in PARTS])
            train, validation, test = np.split(np.arange(len(self)), ends[:-1])
            return Splits(train, validation, test)
        raise ConfigError(unknown("split of camvid", kind, _KINDS))


def _paired_names(tree: FileTree, part: str) -> list[str]:
    """Names that have both a picture and a label map.

    Raises:
        DataError: If a part is empty or a file has no partner.
    """
    pictures, labels = tree.stems(f"{part}/rgb", ".jpg").keys(), tree.stems(f"{part}/semantic", ".png").keys()
    for stem in sorted(pictures ^ labels):
        found, lacking = ("rgb", "semantic") if stem in pictures else ("semantic", "rgb")
        raise DataError(
            f"{tree.describe(f'{part}/{found}/{stem}')}: has no partner in {part}/{lacking}; fetch or remove it"
        )
    if not pictures:
        raise DataError(f"{tree.describe(f'{part}/rgb')}: holds no .jpg picture; the data set is not complete")
    return sorted(pictures)
