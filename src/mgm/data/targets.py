"""Making the targets of a sample from full-size arrays, and those of labels that are not there."""

from __future__ import annotations

import numpy as np

from mgm.data.images import planes, read_array, resize_nearest
from mgm.errors import DataError
from mgm.types import IGNORE_INDEX

CHANNELS = {"depth": 1, "normal": 3, "edge_texture": 1, "reshading": 1, "principal_curvature": 2}
"""Task -> channels of its target; ``semantic`` has none."""


def missing_target(task: str, size: int) -> np.ndarray:
    """The target of an image without this label: every pixel is invalid."""
    if task == "semantic":
        return np.full((size, size), IGNORE_INDEX, np.uint8)
    return np.full((CHANNELS[task], size, size), np.nan, np.float32)


def float_target(values: np.ndarray, size: int) -> np.ndarray:
    """Values at the size of training, the nearest pixel's each.

    Args:
        values: ``[H, W]`` or ``[H, W, C]``, NaN where invalid.
        size: Side of the result in pixels.

    Returns:
        ``[C, size, size]`` float32.
    """
    values = values if values.ndim == 3 else values[:, :, None]
    return planes(resize_nearest(values, size, size).astype(np.float32))


def unit_normals(vectors: np.ndarray) -> np.ndarray:
    """Vectors at length 1; NaN where one is shorter than 0.1 or not finite, i.e. has no direction.

    Args:
        vectors: ``[H, W, 3]``.
    """
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    usable = np.isfinite(length) & (length >= 0.1)
    return np.where(usable, vectors / np.where(usable, length, 1), np.nan).astype(np.float32)


def classes_in_view(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """``[num_classes]`` multi-hot: the classes that occur; NaN where no pixel has a class.

    Args:
        labels: uint8 class indices of any shape; `IGNORE_INDEX` where there is none.
        num_classes: Number of classes.
    """
    present = np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes] > 0
    return present.astype(np.float32) if present.any() else np.full(num_classes, np.nan, np.float32)


def one_hot(index: int, count: int) -> np.ndarray:
    """``[count]`` float32; a negative index is an unknown scene, all NaN."""
    if index < 0:
        return np.full(count, np.nan, np.float32)
    return np.eye(1, count, index, dtype=np.float32)[0]


def read_plane(content: bytes, name: str, channels: int = 1) -> np.ndarray:
    """A ``.npy`` of one number or vector per pixel.

    Args:
        content: Of the file.
        name: What to call it in messages.
        channels: Numbers per pixel; for 1 a third axis may be there or not.

    Returns:
        ``[H, W]``, or ``[H, W, channels]`` for more than one.

    Raises:
        DataError: If the file is damaged, holds objects, or has another shape.
    """
    values = read_array(content, name)
    if channels == 1 and values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    wanted = values.ndim == 2 if channels == 1 else values.ndim == 3 and values.shape[2] == channels
    if not wanted or 0 in values.shape:
        shape = "H x W (x 1)" if channels == 1 else f"H x W x {channels}"
        raise DataError(f"{name}: the array is {' x '.join(map(str, values.shape))}, not {shape}; write it again")
    return values


def read_class_plane(content: bytes, name: str, num_classes: int, first: int = 0) -> np.ndarray:
    """A ``.npy`` of class numbers; negative ones, NaN and 255 mean ignored.

    Args:
        content: Of the file.
        name: What to call it in messages.
        num_classes: Number of classes.
        first: Number of the first class; smaller ones are ignored.

    Returns:
        ``[H, W]`` uint8 class index or `IGNORE_INDEX`.

    Raises:
        DataError: As `read_plane`, or if a number is fractional or above the last class.
    """
    values = read_plane(content, name).astype(np.float64)
    ignored = np.isnan(values) | (values < first) | (values == IGNORE_INDEX)
    labels = np.where(ignored, 0, values - first)
    wrong = (labels >= num_classes) | (labels != np.floor(labels))
    if wrong.any():
        raise DataError(
            f"{name}: label {labels[wrong][0] + first:g} is no class ({first}..{first + num_classes - 1}), and not "
            "negative or 255 (ignore); mend the file or the list of classes"
        )
    return np.where(ignored, IGNORE_INDEX, labels).astype(np.uint8)
