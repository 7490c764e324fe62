"""The tables beside NYU Depth V2's labelled set: mappings of classes and the official split, MATLAB files of version 5."""

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
"""Class 1..40 -> class 1..13, as in `MAPPING13`."""
NAMES_13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip


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
    listed = np.concatenate([train, test])
    if len(np.unique(listed)) < len(listed) or listed.min(initial=0) < 0 or listed.max(initial=0) >= count:
        raise DataError(
            f"{file}: lists images twice or beyond the {count} that there are; the two files do not belong together"
        )
    return train, test


def _read_table(file: Path) -> dict[str, Any]:
    """The variables of a MATLAB file: numbers as arrays, cells of text as arrays of str, structures as dictionaries."""
    from scipy.io import loadmat

    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{file}: missing; put it beside the labelled set") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        return loadmat(io.BytesIO(content), simplify_cells=True)
    except Exception as error:  # of a damaged file nearly anything
        raise DataError(f"{file}: is no readable MATLAB 5 file ({error}); fetch it again") from error


def _integers(values: Any) -> np.ndarray:
    """A flat array of whole numbers; raises ValueError or TypeError if they are none."""
    numbers = np.asarray(values, dtype=np.float64).ravel()
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all() and (np.abs(numbers) < 2**31).all()):
        raise ValueError("not whole numbers")
    return numbers.astype(np.int64)
