"""NYU Depth V2 as its authors give it out: ``nyu_depth_v2_labeled.mat``.

Silberman, Hoiem, Kohli, Fergus: Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.geometry import NYUV2_CAMERA, RADIUS_PX, normals_from_depth
from mgm.data.images import check_same_size, planes, read_labels, read_rgb, resize_nearest, resize_rgb
from mgm.data.nyuv2 import PAPER_TRAIN, VALID_REGIONS
from mgm.data.nyuv2_files import (
    LABELED,
    MAPPING13,
    MAPPING40,
    SPLITS,
    LabeledFile,
    read_mapping,
    read_mapping13,
    read_official_split,
)
from mgm.data.splits import grouped_split, random_split
from mgm.data.targets import float_target, missing_target, one_hot, unit_normals
from mgm.errors import ConfigError, DataError, unknown
from mgm.types import DatasetInfo, Sample

READER_VERSION = 1
PAPER_COUNT = 1449
NORMALS = Path("normals_gt")
_KINDS = ("random", "scene", "official")


class NYUv2MatSource(DataSource):
    """The labelled set of NYUv2, read image by image from its HDF5 file.

    Beside it: ``classMapping40.mat`` (needed), ``splits.mat`` (for the official split), ``class13Mapping.mat`` (the same table is
    built in), ``normals_gt/normals/NNNN.png`` and ``normals_gt/masks/NNNN.png`` numbered from 0000 (published normals; without that
    folder normals are derived from the in-painted depth).

    Only the valid region of 640 x 480 pixels is used (rows 45:471, columns 41:601), squeezed to a square.

    Args:
        path: The ``.mat`` file, or the folder that holds it.
        num_classes: 40 or 13.

    Raises:
        ConfigError: If the number of classes is neither.
        DataError: If a needed file is missing or unreadable.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str, num_classes: int = 40) -> None:
        path = Path(path).expanduser()
        if path.suffix.lower() == ".zip":
            raise DataError(f"{path}: unpack it; a file of this size is read in place, not from an archive")
        self._file = LabeledFile(path / LABELED if path.is_dir() else path)
        self._folder = self._file.path.parent
        if num_classes not in (40, 13):
            raise ConfigError(f"NYUv2 has 40 or 13 classes, not {num_classes}")
        self._table, self._classes = read_mapping(self._folder)
        if num_classes == 13:
            to_13, self._classes = read_mapping13(self._folder)
            self._table = to_13[self._table]
        self._types = tuple(sorted(set(self._file.scene_types)))
        self._published = (self._folder / NORMALS / "normals").is_dir()

    @property
    def info(self) -> DatasetInfo:
        """Three tasks, 40 or 13 classes, and the scene types that occur (27 in the full set)."""
        derived = (
            "derived from the in-painted depth with the camera's intrinsics (least-squares planes in inverse depth, "
            f"{2 * RADIUS_PX + 1} px): not comparable to published ones"
        )
        published = "published (normals_gt), invalid where masked; components as in the pictures, (n + 1) / 2 as RGB"
        return DatasetInfo(
            name="nyuv2_mat",
            tasks=("semantic", "depth", "normal"),
            classes=self._classes,
            scenes=self._types,
            notes={
                "semantic": f"{len(self._classes)} classes; unlabelled pixels are ignored",
                "depth": "in-painted, metres",
                "normal": published if self._published else derived,
                "image": "valid region squeezed to a square",
                "split": "random as in the paper mixes images of one scene; scene keeps scenes apart; official "
                + (
                    "as in splits.mat"
                    if (self._folder / SPLITS).is_file()
                    else f"is not available, {SPLITS} is missing"
                ),
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images and classes, and a hash of names, sizes and times of the files."""
        files = [self._file.path, *(self._folder / name for name in (MAPPING40, MAPPING13, SPLITS))]
        files += sorted((self._folder / NORMALS).rglob("*.png")) if self._published else []
        states = [(file.relative_to(self._folder).as_posix(), file.stat()) for file in files if file.is_file()]
        entries = "\n".join(f"{name}\0{state.st_size}\0{state.st_mtime_ns}" for name, state in states)
        return {
            "reader": "nyuv2_mat",
            "version": READER_VERSION,
            "count": len(self),
            "classes": len(self._classes),
            "files": hashlib.sha256(entries.encode()).hexdigest()[:16],
        }

    def __len__(self) -> int:
        """Number of images, 1,449 in the full set."""
        return self._file.count

    def read(self, index: int, size: int) -> Sample:
        """One sample, valid region only, squeezed to a square; see `DataSource.read`."""
        rgb, depth, raw = self._file.image(index), self._file.depth(index), self._file.labels(index)
        where = f"{self._file.path}, image {index + 1}"
        for values, name in ((depth, "depths"), (raw, "labels")):
            check_same_size(f"{where}: {name}", values, "images", rgb)
        if raw.max() >= len(self._table):
            raise DataError(
                f"{where}: raw class {raw.max()} is beyond the {len(self._table) - 1} of {MAPPING40}; fetch both again"
            )
        height, width = rgb.shape[:2]
        top, bottom, left, right = VALID_REGIONS.get((width, height), (0, height, 0, width))
        window = np.s_[top:bottom, left:right]
        metres = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
        # unlabelled is 0 and becomes 255, class k becomes k - 1
        semantic = (self._table[resize_nearest(raw[window], size, size)] - 1).astype(np.uint8)
        return Sample(
            image=planes(resize_rgb(rgb[window], size, size)),
            targets={
                "semantic": semantic,
                "depth": float_target(metres[window], size),
                "normal": self._normals(index, metres, window, size),
            },
            scene=one_hot(self._types.index(self._file.scene_types[index]), len(self._types)),
            name=f"{index + 1:04d}",
        )

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``random``: the paper's 1,049 / 200 / 200, or those shares of another number. ``scene``: the same sizes, as near as whole
        scenes allow. ``official``: as in ``splits.mat`` (795 / 654); validation has the same size as above, whole scenes of the
        training images.

        Raises:
            ConfigError: If ``kind`` is none of these.
            DataError: If there are too few images or scenes, or ``splits.mat`` is missing or does not fit.
        """
        held_out = max(1, round(len(self) * (PAPER_COUNT - PAPER_TRAIN) / 2 / PAPER_COUNT))
        if kind == "random":
            return random_split(len(self), held_out, held_out, seed)
        if kind == "scene":
            return grouped_split(self._file.scenes, held_out, held_out, seed)
        if kind == "official":
            train, test = read_official_split(self._folder, len(self))
            inner = grouped_split([self._file.scenes[index] for index in train], held_out, 0, seed)
            return Splits(train[inner.train], train[inner.validation], test)
        raise ConfigError(unknown("split of nyuv2_mat", kind, _KINDS))

    def _normals(self, index: int, depth: np.ndarray, window: tuple[slice, slice], size: int) -> np.ndarray:
        """``[3, size, size]``: published normals, or those of the depth."""
        if not self._published:
            rows, columns = (
                extent.start + (2 * np.arange(size) + 1) * (extent.stop - extent.start) // (2 * size)
                for extent in window
            )
            scale = depth.shape[1] / 640
            camera = NYUV2_CAMERA.scaled(scale, depth.shape[0] / 480)
            radius = max(2, round(RADIUS_PX * scale))
            return normals_from_depth(depth, camera, rows=rows, columns=columns, radius=radius)
        picture, mask = (self._folder / NORMALS / part / f"{index:04d}.png" for part in ("normals", "masks"))
        if not picture.is_file() or not mask.is_file():
            return missing_target("normal", size)
        colours, valid = read_rgb(picture), read_labels(mask)
        check_same_size(str(picture), colours, f"{self._file.path}, image {index + 1}", depth)
        check_same_size(str(mask), valid, str(picture), colours)
        vectors = unit_normals(colours / np.float32(127.5) - 1)
        return float_target(np.where(valid[:, :, None] > 0, vectors, np.nan)[window], size)
