"""Cityscapes: street scenes with semantic classes, depth from stereo, and the visible objects as multi-hot weak labels.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import FileTree, open_tree
from mgm.data.images import read_labels, read_rgb
from mgm.data.resizing import fitted, in_view, resize_image, resize_target
from mgm.data.scene_labels import classes_in_view
from mgm.data.splits import grouped_split, official_split, random_split
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import TASKS
from mgm.tasks.files import MIN_DISPARITY_PX
from mgm.types import IGNORE_INDEX, DatasetInfo, FrameLike, Sample

READER_VERSION = 1
LABELS = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
    "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
    "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan",
    "trailer", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""Names of the label ids 0..33."""
TRAIN_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label ids of the 19 classes that are evaluated."""
OBJECT_IDS = tuple(range(4, 34))
"""Label ids of the 30 things and stuff classes."""
_PARTS = ("train", "val")
_KINDS = ("random", "city", "official")
_FOLDERS = {
    "leftImg8bit": ("leftImg8bit.png", "rgb"),
    "gtFine": ("gtFine_labelIds.png", "labels"),
    "disparity": ("disparity.png", "disparity"),
    "camera": ("camera.json", "camera"),
}
"""Top folder -> ending of the file names that are read, and our name for this kind of file."""
_STEM = re.compile(r"(\w+?_\d{6}_\d{6})_(.+)")


@dataclass(frozen=True)
class _Frame:
    """An image and the files that belong to it."""

    part: str
    city: str
    files: dict[str, str]


class CityscapesSource(DataSource):
    """Cityscapes: ``{leftImg8bit,gtFine,disparity,camera}/{train,val}/CITY/CITY_SEQ_FRAME_*``, images with aspect ratio 2:1.

    The test part has no public labels and train_extra has only coarse ones; neither is read. The scene label is multi-hot: which
    of the 30 things and stuff classes (ids 4..33) occur in the full-size label map. Depth is offered if there are disparity files;
    it is missing for an image without a disparity or camera file.

    Args:
        path: The folder or zip archive; or the image folder of one city, such as ``ROOT/leftImg8bit/train/zurich``, to use
            only that city.
        cities: Names of the cities to use; all by default.
        num_classes: 19 (the evaluated classes; others are ignored) or 30 (the ids 4..33).

    Raises:
        ConfigError: If the number of classes is neither 19 nor 30.
        DataError: If there are no images.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str, cities: tuple[str, ...] = (), num_classes: int = 19) -> None:
        path = Path(os.path.expanduser(path))
        if path.absolute().parent.parent.name == "leftImg8bit":
            path, cities = path.absolute().parents[2], (path.name,)
        if num_classes not in (19, 30):
            raise ConfigError(f"Cityscapes has 19 or 30 classes, not {num_classes}")
        self._tree = open_tree(path)
        self._cities = tuple(sorted(cities))
        ids = TRAIN_IDS if num_classes == 19 else OBJECT_IDS
        self._classes = tuple(LABELS[number] for number in ids)
        self._table, self._object_table = _table(ids), _table(OBJECT_IDS)
        self._frames = _list_frames(self._tree, self._cities)
        has_depth = any("disparity" in frame.files for frame in self._frames)
        self._tasks = ("semantic", "depth") if has_depth else ("semantic",)

    @property
    def info(self) -> DatasetInfo:
        """Segmentation and, with disparities, depth; the weak labels are the visible objects."""
        lacking = {kind: sum(kind not in frame.files for frame in self._frames) for _, kind in _FOLDERS.values()}
        missing = ", ".join(f"{count} without {kind}" for kind, count in lacking.items() if count)
        return DatasetInfo(
            name="_".join(("cityscapes", *self._cities)),
            tasks=self._tasks,
            classes=self._classes,
            scenes=tuple(LABELS[number] for number in OBJECT_IDS),
            multi_hot=True,
            notes={
                "semantic": f"{len(self._classes)} classes; other labels are ignored",
                "scene": "multi-hot: which of the ids 4..33 are in view",
                "depth": "baseline x focal length / disparity, metres, of the picture's own camera file; invalid below 1 px",
                "image": "2:1 pictures",
                "files": f"{len(self)} images; {missing or 'all have every file'}",
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, cities, classes, number of images, and a hash of all files."""
        return {
            "reader": "cityscapes",
            "version": READER_VERSION,
            "count": len(self),
            "cities": list(self._cities),
            "classes": len(self._classes),
            "files": self._tree.digest(),
        }

    def __len__(self) -> int:
        """Number of images: 3,475 in the full data set, 122 in Zurich."""
        return len(self._frames)

    def read(self, index: int, size: FrameLike) -> Sample:
        """One sample; see `DataSource.read`."""
        files = self._frames[index].files
        where = self._tree.describe(files["rgb"])
        rgb = self._tree.decode(files["rgb"], read_rgb)
        targets = {task: TASKS[task].missing_target(size) for task in self._tasks}
        scene = np.full(len(OBJECT_IDS), np.nan, np.float32)
        if "labels" in files:
            ids = self._picture(files["labels"], where, rgb)
            if ids.max() >= len(LABELS):
                raise DataError(
                    f"{self._tree.describe(files['labels'])}: label {ids.max()} is outside 0..{len(LABELS) - 1}; this is not a "
                    "labelIds file: download gtFine again"
                )
            targets["semantic"] = resize_target(self._table[ids], size)
            scene = classes_in_view(self._object_table[in_view(ids, size)], len(OBJECT_IDS))
        if "disparity" in files and "camera" in files:
            targets["depth"] = resize_target(self._depth(files, where, rgb), size)
        return Sample(resize_image(rgb, size), targets, scene, Path(files["rgb"]).stem)

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``random``: 80 / 10 / 10 %, as in the paper. ``city``: the same, by whole cities. ``official``: the official val part is the
        test set; validation is a tenth of the official training part, by whole cities.

        Raises:
            ConfigError: If ``kind`` is none of these.
            DataError: If there are too few images or cities.
        """
        held_out = max(1, round(len(self) / 10))
        if kind == "random":
            return random_split(len(self), held_out, held_out, seed)
        cities = [frame.city for frame in self._frames]
        if kind == "city":
            return grouped_split(cities, held_out, held_out, seed)
        if kind == "official":
            parts = np.array([frame.part for frame in self._frames])
            train, test = (np.flatnonzero(parts == part) for part in _PARTS)
            if len(test) == 0 or len(train) == 0:
                raise DataError(
                    f"{self._tree.path}: the official split needs images in train and in val; use the split 'random'"
                )
            return official_split(train, test, max(1, round(len(train) / 10)), cities, seed)
        raise ConfigError(unknown("split of cityscapes", kind, _KINDS))

    def _picture(self, name: str, where: str, rgb: np.ndarray) -> np.ndarray:
        return fitted(self._tree.decode(name, read_labels), self._tree.describe(name), rgb, where)

    def _depth(self, files: dict[str, str], where: str, rgb: np.ndarray) -> np.ndarray:
        """``[H, W]`` metres, from the disparity d = (p - 1) / 256 of stored values p; NaN where d is below 1 px."""
        picture = self._picture(files["disparity"], where, rgb)
        if picture.dtype == np.uint8:
            raise DataError(
                f"{self._tree.describe(files['disparity'])}: has 8 bits instead of 16; download the original file again"
            )
        disparity = (picture.astype(np.float64) - 1) / 256
        far = disparity < MIN_DISPARITY_PX
        return np.where(far, np.nan, self._baseline_times_focal(files["camera"]) / np.where(far, 1, disparity))

    def _baseline_times_focal(self, name: str) -> float:
        """Baseline in metres times focal length in pixels, from a camera file."""
        where = self._tree.describe(name)
        try:
            camera = json.loads(self._tree.read(name))
            product = float(camera["extrinsic"]["baseline"]) * float(camera["intrinsic"]["fx"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: has no extrinsic.baseline and intrinsic.fx; download the camera files again"
            ) from error
        if not 0 < product < np.inf:
            raise DataError(f"{where}: baseline and focal length must be positive; download the camera files again")
        return product


def _table(ids: tuple[int, ...]) -> np.ndarray:
    """``[34]`` uint8: label id -> class index, or `IGNORE_INDEX`."""
    table = np.full(len(LABELS), IGNORE_INDEX, np.uint8)
    table[list(ids)] = np.arange(len(ids))
    return table


def _list_frames(tree: FileTree, cities: tuple[str, ...]) -> list[_Frame]:
    """All images of the labelled parts, sorted, each with the files of the same city, sequence and frame."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for name in tree.names():
        parts = name.split("/")
        if len(parts) != 4 or parts[0] not in _FOLDERS or parts[1] not in _PARTS or (cities and parts[2] not in cities):
            continue
        match, (ending, kind) = _STEM.fullmatch(parts[3]), _FOLDERS[parts[0]]
        if match and match[2] == ending:
            found.setdefault((parts[1], parts[2], match[1]), {})[kind] = name
    frames = [_Frame(part, city, files) for (part, city, _), files in sorted(found.items()) if "rgb" in files]
    if not frames:
        which = f" of {', '.join(cities)}" if cities else ""
        raise DataError(
            f"{tree.path}: has no image{which} leftImg8bit/{{train,val}}/CITY/CITY_SEQ_FRAME_leftImg8bit.png; "
            "unpack leftImg8bit here"
        )
    return frames
