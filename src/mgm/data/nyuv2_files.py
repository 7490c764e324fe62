"""The MATLAB files of NYU Depth V2: the labelled set (HDF5, read image by image) and the tables that go with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm.data.matlab5 import read_matlab5
from mgm.errors import DataError

if TYPE_CHECKING:
    import h5py

LABELED = "nyu_depth_v2_labeled.mat"
SPLITS = "splits.mat"
MAPPING40 = "classMapping40.mat"
MAPPING13 = "class13Mapping.mat"
TO_13 = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5,
    7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7,
)  # fmt: skip
"""Class 1..40 -> class 1..13, as in `MAPPING13`."""
NAMES_13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip
_VARIABLES = {"images": 4, "depths": 3, "labels": 3, "sceneTypes": 2, "scenes": 2}
"""Variable that is needed -> number of axes."""


class LabeledFile:
    """``nyu_depth_v2_labeled.mat``, opened when needed. Can be pickled: each process opens its own handle.

    Args:
        path: The file.

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
            raise DataError(f"{path}: the variables differ in length ({lengths}); fetch the file again")
        self.scene_types = self._strings("sceneTypes")
        """Type of the scene of every image."""
        self.scenes = self._strings("scenes")
        """Name of the scene of every image."""

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_handle": None}

    def close(self) -> None:
        """Close the file; reading opens it again."""
        if self._handle is not None and self._handle[0] == os.getpid():
            self._handle[1].close()
        self._handle = None

    def image(self, index: int) -> np.ndarray:
        """``[H, W, 3]`` uint8 RGB. MATLAB's arrays have their axes in reverse order in HDF5."""
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
            raise DataError(f"{self.path}: has no variable {name!r} of {axes} axes; it is not {LABELED}, or is damaged")
        return data

    def _row(self, name: str, index: int) -> np.ndarray:
        try:
            return np.asarray(self._open()[name][index])  # type: ignore[index]
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise DataError(
                f"{self.path}: {name} of image {index + 1} cannot be read ({error}); fetch it again"
            ) from error

    def _strings(self, name: str) -> list[str]:
        """Dereference a cell array of strings, each stored as its code points."""
        file = self._open()
        try:
            return ["".join(map(chr, np.asarray(file[entry]).ravel())) for entry in file[name][0]]  # type: ignore[index]
        except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise DataError(f"{self.path}: {name} cannot be read ({error}); fetch the file again") from error


def _open_hdf5(path: Path) -> h5py.File:
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: reading MATLAB 7.3 files needs h5py: pip install 'mgm[nyuv2]'") from error
    if not path.is_file():
        raise DataError(f"{path}: missing; fetch {LABELED} (2.8 GB) of NYU Depth V2")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            f"{path}: is no HDF5 file, or cut short ({str(error).splitlines()[0]}); the labelled set is MATLAB 7.3: "
            "fetch it again, do not save it anew in an older format"
        ) from error


def _read_table(file: Path) -> dict[str, Any]:
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{file}: missing; put it beside {LABELED}") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    return dict(read_matlab5(content, str(file)))


def _integers(values: Any) -> np.ndarray:
    """A flat array of whole numbers; raises ValueError or TypeError if they are none."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**31).all()):
        raise ValueError("not whole numbers")
    return numbers.astype(np.int64)


def read_mapping(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The table from raw classes to the 40.

    Returns:
        ``[895]`` raw number -> 1..40, 0 for unlabelled; and the names of the 40.

    Raises:
        DataError: If ``classMapping40.mat`` is missing, unreadable or not what it should be.
    """
    file = folder / MAPPING40
    variables = _read_table(file)
    try:
        table = _integers(variables["mapClass"])
        names = tuple(map(str, variables["className"]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{file}: has no mapClass and className; fetch it again") from error
    if len(names) != 40 or len(table) == 0 or table.min() < 1 or table.max() > 40:
        raise DataError(f"{file}: does not map to 40 classes; fetch it again")
    return np.concatenate([[0], table]), names


def read_mapping13(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The table from the 40 classes to 13: from ``class13Mapping.mat`` if it is there, else as published.

    Returns:
        ``[41]`` class 0..40 -> 0..13, 0 staying 0; and the names of the 13.

    Raises:
        DataError: If the file is there but unreadable or not what it should be.
    """
    file = folder / MAPPING13
    table = np.array(TO_13)
    if file.is_file():
        variables = _read_table(file)
        try:
            table = _integers(variables["classMapping13"]["labels13"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(f"{file}: has no classMapping13.labels13; fetch it again or remove it") from error
        if len(table) != 40 or table.min() < 1 or table.max() > 13:
            raise DataError(f"{file}: does not map 40 classes to 13; fetch it again or remove it")
    return np.concatenate([[0], table]), NAMES_13


def read_official_split(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices from 0 of the official training and test images.

    Raises:
        DataError: If ``splits.mat`` is missing, unreadable, or lists other images than there are.
    """
    file = folder / SPLITS
    variables = _read_table(file)
    try:
        train, test = (np.sort(_integers(variables[name])) - 1 for name in ("trainNdxs", "testNdxs"))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: has no trainNdxs and testNdxs; fetch it again") from error
    everything = np.concatenate([train, test])
    if (
        len(np.unique(everything)) != len(everything)
        or everything.min(initial=0) < 0
        or everything.max(initial=0) >= count
    ):
        raise DataError(
            f"{file}: lists images twice or beyond the {count} of {LABELED}; the two files do not belong together"
        )
    return train, test
