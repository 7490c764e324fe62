"""NYU Depth V2 in a compact layout of pictures: segmentation, depth, normals and the type of the scene.

Silberman, Hoiem, Kohli, Fergus: Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.files import FileTree, open_tree
from mgm.data.images import check_labels, check_same_size, planes, read_labels, read_rgb, resize_nearest, resize_rgb
from mgm.data.splits import grouped_split, random_split
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import IGNORE_INDEX, DatasetInfo, Sample

READER_VERSION = 1
NUM_CLASSES = 40
UNUSED_CLASS = 39
"""``otherprop``: one with unlabelled in the training images at hand, so it is ignored everywhere."""
MAX_DEPTH_M = 10.0
PAPER_TRAIN = 1049
"""Training images of the MGM paper, section 4.1; what is left is halved into validation and test."""
VALID_REGIONS = {(256, 192): (18, 188, 17, 240), (640, 480): (45, 471, 41, 601)}
"""Picture size (width, height) -> rows and columns inside the white frame; any other size has no frame."""
_FOLDERS = {"rgb": ".jpg", "depth": ".png", "semantic40": ".png", "normal": ".jpg"}
_COLUMNS = ("id", "official_split", "scene", "scene_type", "scene_type_id")
_KINDS = ("random", "scene", "official")


@dataclass(frozen=True)
class _Row:
    """A line of ``index.csv``."""

    name: str
    official_split: str
    scene: str
    scene_type: int


class NYUv2Source(DataSource):
    """NYUv2 as a folder or zip: ``rgb/NNNN.jpg``, ``depth/NNNN.png``, ``semantic40/``, ``normal/``, ``index.csv``.

    Pictures of 256 x 192 are cropped to the valid region (rows 18:188, columns 17:240) and, like every other size,
    squeezed to a square: the picture is not at its original aspect ratio, depth and normals keep their values.

    The 40 classes keep their numbers, and networks have 40 outputs; class 39 (``otherprop``) is ignored in every image,
    so 39 classes count. Depth is in metres. Normals are unit vectors that face the camera, axes x right, y down,
    z forward.

    Args:
        path: The folder or zip archive.

    Raises:
        DataError: If a list, a folder or the partner of a file is missing, or a list contradicts itself.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str) -> None:
        self._tree = open_tree(path)
        self._classes = tuple(self._tree.lines("classes40.txt"))
        self._scenes = tuple(self._tree.lines("scene_types.txt"))
        if len(self._classes) != NUM_CLASSES:
            raise DataError(
                f"{self._tree.describe('classes40.txt')}: {len(self._classes)} names instead of {NUM_CLASSES}"
            )
        self._rows = _read_index(self._tree, len(self._scenes))
        _check_partners(self._tree, [row.name for row in self._rows])

    @property
    def info(self) -> DatasetInfo:
        """Three tasks, 40 classes and the scene types of the list (27 in the full set)."""
        return DatasetInfo(
            name="nyuv2",
            tasks=("semantic", "depth", "normal"),
            classes=self._classes,
            scenes=self._scenes,
            notes={
                "semantic": "39 of the 40 classes count: otherprop is ignored, it was merged with unlabelled",
                "depth": "8 bits, steps of 3.9 cm up to 10 m, in-painted",
                "normal": "derived from the 8-bit depth, smoother than the published ones: not comparable to them",
                "image": "valid region squeezed to a square",
                "split": "random as in the paper mixes images of one scene; scene keeps scenes apart",
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images, and a hash of all files."""
        return {"reader": "nyuv2", "version": READER_VERSION, "count": len(self), "files": self._tree.digest()}

    def __len__(self) -> int:
        """Number of images in ``index.csv``."""
        return len(self._rows)

    def read(self, index: int, size: int) -> Sample:
        """One sample, valid region only, squeezed to a square; see `DataSource.read`."""
        row = self._rows[index]
        files = {folder: f"{folder}/{row.name}{suffix}" for folder, suffix in _FOLDERS.items()}
        rgb, normal = (self._picture(files[folder]) for folder in ("rgb", "normal"))
        depth, semantic = (self._labels(files[folder]) for folder in ("depth", "semantic40"))
        where = {folder: self._tree.describe(name) for folder, name in files.items()}
        for folder, values in (("depth", depth), ("semantic40", semantic), ("normal", normal)):
            check_same_size(where[folder], values, where["rgb"], rgb)
        top, bottom, left, right = VALID_REGIONS.get((rgb.shape[1], rgb.shape[0]), (0, rgb.shape[0], 0, rgb.shape[1]))
        window = np.s_[top:bottom, left:right]
        scene = np.zeros(len(self._scenes), np.float32)
        scene[row.scene_type] = 1
        return Sample(
            image=planes(resize_rgb(rgb[window], size, size)),
            targets={
                "semantic": _decode_classes(resize_nearest(semantic[window], size, size), where["semantic40"]),
                "depth": _decode_depth(resize_nearest(depth[window], size, size), where["depth"]),
                "normal": decode_normals(resize_nearest(normal[window], size, size)),
            },
            scene=scene,
            name=row.name,
        )

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``random``: the paper's 1,049 for training, the rest halved (150 + 150 of the 1,349 images at hand); from fewer
        than 1,349, a ninth each. ``scene``: the same sizes, as near as whole scenes allow. ``official``: the official
        test images at hand; validation has the same size as above, whole scenes of the official training images.

        Raises:
            ConfigError: If ``kind`` is none of these.
            DataError: If there are too few images or scenes.
        """
        count = len(self)
        held_out = (count - PAPER_TRAIN) // 2 if count >= 1349 else max(1, round(count / 9))
        if kind == "random":
            return random_split(count, held_out, held_out, seed)
        if kind == "scene":
            return grouped_split([row.scene for row in self._rows], held_out, held_out, seed)
        if kind == "official":
            return _official_split(self._rows, held_out, seed)
        raise ConfigError(unknown("split of nyuv2", kind, _KINDS))

    def _picture(self, name: str) -> np.ndarray:
        return read_rgb(self._tree.read(name), self._tree.describe(name))

    def _labels(self, name: str) -> np.ndarray:
        return read_labels(self._tree.read(name), self._tree.describe(name))


def decode_normals(picture: np.ndarray) -> np.ndarray:
    """Unit vectors from a picture that shows (n + 1) / 2 as RGB.

    Args:
        picture: ``[H, W, 3]`` uint8.

    Returns:
        ``[3, H, W]`` float32 of length 1; NaN where the picture shows a vector shorter than 0.1 (no direction).
    """
    vectors = picture.astype(np.float32) / 127.5 - 1
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = np.where(length >= 0.1, vectors / np.maximum(length, 0.1), np.float32(np.nan))
    return planes(vectors)


def _decode_depth(values: np.ndarray, name: str) -> np.ndarray:
    """8-bit steps to metres at the middle of each step, ``[1, H, W]`` float32."""
    if values.dtype != np.uint8:
        raise DataError(
            f"{name}: depth of more than 8 bits; this layout stores floor(metres / {MAX_DEPTH_M:.0f} * 255)"
        )
    return ((values.astype(np.float32) + 0.5) * (MAX_DEPTH_M / 255))[None]


def _decode_classes(labels: np.ndarray, name: str) -> np.ndarray:
    """Check class indices and ignore the unused class, ``[H, W]`` uint8."""
    check_labels(labels, NUM_CLASSES, name)
    return np.where(labels == UNUSED_CLASS, IGNORE_INDEX, labels).astype(np.uint8)


def _read_index(tree: FileTree, num_scenes: int) -> list[_Row]:
    where = tree.describe("index.csv")
    table = csv.DictReader(tree.lines("index.csv"))
    missing = [column for column in _COLUMNS if column not in (table.fieldnames or ())]
    if missing:
        raise DataError(f"{where}: has no column {missing[0]!r}; it needs {', '.join(_COLUMNS)}")
    rows = []
    for line, entry in enumerate(table, start=2):
        scene_type = entry["scene_type_id"] or ""
        if (
            not scene_type.isdecimal()
            or int(scene_type) >= num_scenes
            or entry["official_split"] not in ("train", "test")
        ):
            raise DataError(
                f"{where}, line {line}: needs official_split train or test, and a scene_type_id below {num_scenes} "
                "(line number in scene_types.txt, from 0)"
            )
        rows.append(_Row(entry["id"], entry["official_split"], entry["scene"], int(scene_type)))
    if not rows:
        raise DataError(f"{where}: lists no image")
    if len({row.name for row in rows}) < len(rows):
        raise DataError(f"{where}: lists an image twice")
    return rows


def _check_partners(tree: FileTree, names: Sequence[str]) -> None:
    """Files belong together by name, never by order: each listed image needs all four, and no file may be left over."""
    for folder, suffix in _FOLDERS.items():
        present = tree.stems(folder, suffix).keys()
        missing, extra = sorted(set(names) - present), sorted(present - set(names))
        if missing:
            raise DataError(
                f"{tree.describe(f'{folder}/{missing[0]}{suffix}')}: missing, and {len(missing) - 1} more like it; "
                "index.csv lists them: fetch the data set again or take the lines out"
            )
        if extra:
            raise DataError(
                f"{tree.describe(f'{folder}/{extra[0]}{suffix}')}: not listed in index.csv ({len(extra)} such files); "
                "add the lines or remove the files"
            )


def _official_split(rows: Sequence[_Row], num_validation: int, seed: int) -> Splits:
    train = np.array([index for index, row in enumerate(rows) if row.official_split == "train"], dtype=np.int64)
    test = np.array([index for index, row in enumerate(rows) if row.official_split == "test"], dtype=np.int64)
    inner = grouped_split([rows[index].scene for index in train], num_validation, 0, seed)
    return Splits(train[inner.train], train[inner.validation], test)
