"""Tables that accompany NYU Depth V2: class mappings and the official split, in MATLAB 5 files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mgm.errors import DataError

SPLITS = "splits.mat"
MAPPING40 = "classMapping40.mat"
MAPPING13 = "class13Mapping.mat"
TO_13 = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7,
    7, 7, 6, 7,
)  # fmt: skip
"""Class 1..40 -> class 1..13, the same table as in `MAPPING13`."""
NAMES_13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip


def read_mapping(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the mapping from raw classes to the 40 classes.

    Returns:
        ``[895]`` raw class -> 1..40, or 0 for unlabelled; and the names of the 40 classes.

    Raises:
        DataError: If ``classMapping40.mat`` is missing, unreadable or invalid.
    """
    file = folder / MAPPING40
    variables = _read_table(file)
    try:
        table = _integers(variables["mapClass"])
        names = tuple(map(str, variables["className"]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{file}: has no mapClass and className; download it again") from error
    if len(names) != 40 or len(table) == 0 or table.min() < 1 or table.max() > 40:
        raise DataError(f"{file}: does not map to 40 classes; download it again")
    return np.concatenate([[0], table]), names


def read_mapping13(folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read the mapping from 40 to 13 classes from ``class13Mapping.mat``; without that file, use the built-in table.

    Returns:
        ``[41]`` class 0..40 -> 0..13, where 0 stays 0; and the names of the 13 classes.

    Raises:
        DataError: If the file exists but is unreadable or invalid.
    """
    file = folder / MAPPING13
    table = np.array(TO_13)
    if file.is_file():
        variables = _read_table(file)
        try:
            table = _integers(variables["classMapping13"]["labels13"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(f"{file}: has no classMapping13.labels13; download it again or remove it") from error
        if len(table) != 40 or table.min() < 1 or table.max() > 13:
            raise DataError(f"{file}: does not map 40 classes to 13; download it again or remove it")
    return np.concatenate([[0], table]), NAMES_13


def read_official_split(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (from 0) of the official training and test images.

    Raises:
        DataError: If ``splits.mat`` is missing or unreadable, or does not match the number of images.
    """
    file = folder / SPLITS
    variables = _read_table(file)
    try:
        train, test = (np.sort(_integers(variables[name])) - 1 for name in ("trainNdxs", "testNdxs"))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file}: has no trainNdxs and testNdxs; download it again") from error
    listed = np.concatenate([train, test])
    if len(np.unique(listed)) < len(listed) or listed.min(initial=0) < 0 or listed.max(initial=0) >= count:
        raise DataError(
            f"{file}: lists an image twice or beyond the {count} of the labelled set; the two files do not belong together"
        )
    return train, test


def _read_table(file: Path) -> dict[str, Any]:
    """Read a MATLAB file: numbers become arrays, cells of text arrays of str, structures dictionaries."""
    from scipy.io import loadmat

    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{file}: missing; put it beside the labelled set") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        return loadmat(io.BytesIO(content), simplify_cells=True)
    except Exception as error:  # scipy raises nearly anything for a damaged file
        raise DataError(f"{file}: is not a readable MATLAB 5 file ({error}); download it again") from error


def _integers(values: Any) -> np.ndarray:
    """Flatten to an array of integers; raises ValueError or TypeError if the values are not integers."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**31).all()):
        raise ValueError("not whole numbers")
    return numbers.astype(np.int64)
