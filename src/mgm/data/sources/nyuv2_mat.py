"""NYU Depth V2 as distributed by its authors: ``nyu_depth_v2_labeled.mat``.

Silberman, Hoiem, Kohli, Fergus: Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.geometry import NYUV2_CAMERA, RADIUS_PX, normals_from_depth
from mgm.data.images import read_labels, read_rgb
from mgm.data.resizing import fitted, resize_image, resize_target
from mgm.data.scene_labels import one_hot
from mgm.data.sources import nyuv2_tables as tables
from mgm.data.splits import grouped_split, official_split, random_split
from mgm.errors import ConfigError, DataError, reason_of, unknown
from mgm.tasks import TASKS
from mgm.tasks.files import decode_rgb_normals, unit_normals
from mgm.types import DatasetInfo, FrameLike, Sample

if TYPE_CHECKING:
    import h5py

READER_VERSION = 1
HELD_OUT = 200 / 1449
"""Fraction of the images in each of validation and test, as in the MGM paper, section 4.1."""
VALID_REGION = np.s_[45:471, 41:601]
"""Rows and columns inside the white frame of the images of 640 x 480 pixels."""
LABELED = "nyu_depth_v2_labeled.mat"
NORMALS = Path("normals_gt")
_VARIABLES = {"images": 4, "depths": 3, "labels": 3, "sceneTypes": 2, "scenes": 2}
"""Required variable -> number of axes."""
_KINDS = ("random", "scene", "official")


class NYUv2MatSource(DataSource):
    """The labelled set of NYUv2, read image by image from its HDF5 file.

    Other files in the same folder:

    - ``classMapping40.mat``: required.
    - ``splits.mat``: required for the official split.
    - ``class13Mapping.mat``: optional; the same table is built in.
    - ``normals_gt/normals/NNNN.png`` and ``normals_gt/masks/NNNN.png``, numbered from 0000: optional published normals. Without
      this folder, normals are derived from the in-painted depth.

    Only the valid region of the 640 x 480 pixels is used (rows 45:471, columns 41:601).

    Args:
        path: The ``.mat`` file, or its folder.
        num_classes: 40 or 13.

    Raises:
        ConfigError: If the number of classes is neither 40 nor 13.
        DataError: If a required file is missing or unreadable.
    """

    split_kinds = _KINDS

    def __init__(self, path: Path | str, num_classes: int = 40) -> None:
        path = Path(os.path.expanduser(path))
        if path.suffix.lower() == ".zip":
            raise DataError(
                f"{path}: is a zip archive, from which a file of this size cannot be read in place; unpack it"
            )
        self._file = LabeledFile(path / LABELED if path.is_dir() else path)
        self._folder = self._file.path.parent
        if num_classes not in (40, 13):
            raise ConfigError(f"NYUv2 has 40 or 13 classes, not {num_classes}")
        self._table, self._classes = tables.read_mapping(self._folder)
        if num_classes == 13:
            to_13, self._classes = tables.read_mapping13(self._folder)
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
        has_split = (self._folder / tables.SPLITS).is_file()
        official = "as in splits.mat" if has_split else f"is not available, {tables.SPLITS} is missing"
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
                "image": "valid region",
                "split": f"random as in the paper mixes images of one scene; scene keeps scenes apart; official {official}",
            },
        )

    @property
    def fingerprint(self) -> dict[str, object]:
        """Reader, number of images and classes, and a hash of names, sizes and modification times of the files."""
        files = [
            self._file.path,
            *(self._folder / name for name in (tables.MAPPING40, tables.MAPPING13, tables.SPLITS)),
        ]
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
        """Number of images: 1,449 in the full data set."""
        return self._file.count

    def read(self, index: int, size: FrameLike) -> Sample:
        """One sample, valid region only; see `DataSource.read`."""
        rgb, depth, raw = self._file.image(index), self._file.depth(index), self._file.labels(index)
        where = f"{self._file.path}, image {index + 1}"
        depth, raw = fitted(depth, f"{where}: depths", rgb, "images"), fitted(raw, f"{where}: labels", rgb, "images")
        if raw.max() >= len(self._table):
            raise DataError(
                f"{where}: raw class {raw.max()} is outside the {len(self._table) - 1} of {tables.MAPPING40}; download both again"
            )
        height, width = rgb.shape[:2]
        window = VALID_REGION if (width, height) == (640, 480) else np.s_[0:height, 0:width]
        metres = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
        # unlabelled is 0 and becomes 255, class k becomes k - 1
        semantic = resize_target((self._table[raw[window]] - 1).astype(np.uint8), size)
        return Sample(
            image=resize_image(rgb[window], size),
            targets={
                "semantic": semantic,
                "depth": resize_target(metres[window], size),
                "normal": self._normals(index, metres, window, size),
            },
            scene=one_hot(self._types.index(self._file.scene_types[index]), len(self._types)),
            name=f"{index + 1:04d}",
        )

    def splits(self, kind: str, seed: int) -> Splits:
        """Split the images.

        ``random``: the paper's 1,049 / 200 / 200, scaled to the number of images. ``scene``: the same sizes, as closely as whole
        scenes allow. ``official``: as in ``splits.mat`` (795 / 654); validation has the same size as above and consists of whole
        scenes of the training images.

        Raises:
            ConfigError: If ``kind`` is none of these.
            DataError: If there are too few images or scenes, or ``splits.mat`` is missing or does not fit.
        """
        held_out = max(1, round(len(self) * HELD_OUT))
        if kind == "random":
            return random_split(len(self), held_out, held_out, seed)
        if kind == "scene":
            return grouped_split(self._file.scenes, held_out, held_out, seed)
        if kind == "official":
            train, test = tables.read_official_split(self._folder, len(self))
            return official_split(train, test, held_out, self._file.scenes, seed)
        raise ConfigError(unknown("split of nyuv2_mat", kind, _KINDS))

    def _normals(self, index: int, depth: np.ndarray, window: tuple[slice, slice], size: FrameLike) -> np.ndarray:
        """``[3, *size]``: published normals, or normals derived from depth."""
        if not self._published:
            places = resize_target(np.indices(depth.shape).transpose(1, 2, 0)[window], size)
            shown = np.isfinite(places[0])
            shown_rows, shown_columns = shown.any(axis=1), shown.any(axis=0)
            rows = places[0][shown_rows, shown_columns.argmax()].astype(int)
            columns = places[1][shown_rows.argmax(), shown_columns].astype(int)
            scale = depth.shape[1] / 640
            camera, radius = NYUV2_CAMERA.scaled(scale, depth.shape[0] / 480), max(2, round(RADIUS_PX * scale))
            derived = normals_from_depth(depth, camera, rows=rows, columns=columns, radius=radius)
            normals = TASKS["normal"].missing_target(size)
            normals[:, shown] = derived.reshape(3, -1)
            return normals
        picture, mask = (self._folder / NORMALS / part / f"{index:04d}.png" for part in ("normals", "masks"))
        if not picture.is_file() or not mask.is_file():
            return TASKS["normal"].missing_target(size)
        where = f"{self._file.path}, image {index + 1}"
        colours = fitted(read_rgb(picture), str(picture), depth, where)
        valid = fitted(read_labels(mask), str(mask), depth, where)
        vectors = unit_normals(decode_rgb_normals(colours))
        return resize_target(np.where(valid[:, :, None] > 0, vectors, np.nan)[window], size)


class LabeledFile:
    """``nyu_depth_v2_labeled.mat``, opened when needed. Can be pickled: each process opens its own handle.

    Raises:
        DataError: If it is missing, not HDF5, or lacks a variable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: tuple[int, h5py.File] | None = None
        variables = {name: self._variable(name, axes) for name, axes in _VARIABLES.items()}
        self.count = int(variables["images"].shape[0])
        """Number of images."""
        lengths = {name: data.shape[1 if data.ndim == 2 else 0] for name, data in variables.items()}
        if set(lengths.values()) != {self.count} or self.count == 0:
            raise DataError(f"{path}: the variables differ in length ({lengths}); download the file again")
        self.scene_types = self._strings("sceneTypes")
        """Scene type of each image."""
        self.scenes = self._strings("scenes")
        """Scene name of each image."""

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_handle": None}

    def image(self, index: int) -> np.ndarray:
        """``[H, W, 3]`` uint8 RGB; transposed because MATLAB arrays have their axes in reverse order in HDF5."""
        return np.ascontiguousarray(self._row("images", index).transpose(2, 1, 0))

    def depth(self, index: int) -> np.ndarray:
        """``[H, W]`` in-painted depth in metres."""
        return self._row("depths", index).T

    def labels(self, index: int) -> np.ndarray:
        """``[H, W]`` raw class number, 0 = unlabelled."""
        return self._row("labels", index).T

    def _open(self) -> h5py.File:
        if self._handle is None or self._handle[0] != os.getpid():  # a handle must not be shared with a forked process
            self._handle = (os.getpid(), _open_hdf5(self.path))
        return self._handle[1]

    def _variable(self, name: str, axes: int) -> Any:
        data = self._open().get(name)
        if data is None or len(getattr(data, "shape", ())) != axes:
            raise DataError(
                f"{self.path}: has no variable {name!r} with {axes} axes; it is not {LABELED}, or it is damaged"
            )
        return data

    def _row(self, name: str, index: int) -> np.ndarray:
        try:
            return np.asarray(self._open()[name][index])  # type: ignore[index]
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{self.path}: {name} of image {index + 1} cannot be read ({error}); download it again"
            ) from error

    def _strings(self, name: str) -> list[str]:
        """Dereference a cell array of strings, each stored as its code points."""
        file = self._open()
        try:
            return ["".join(map(chr, np.asarray(file[entry]).ravel())) for entry in file[name][0]]  # type: ignore[index]
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise DataError(f"{self.path}: {name} cannot be read ({error}); download the file again") from error


def _open_hdf5(path: Path) -> h5py.File:
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: reading MATLAB 7.3 files needs h5py: pip install 'mgm[nyuv2]'") from error
    if not path.is_file():
        raise DataError(f"{path}: missing; download {LABELED} (2.8 GB) of NYU Depth V2")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path}: is not an HDF5 file, or is truncated ({reason_of(error)}); the labelled set has MATLAB 7.3 format: "
            "download it again, and do not convert it to an older format"
        ) from error
