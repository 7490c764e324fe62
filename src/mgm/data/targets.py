"""Targets and scene labels of a sample from full-size arrays."""

from __future__ import annotations

import numpy as np

from mgm.data.images import box_in, in_view, padded, planes, resize_nearest
from mgm.types import IGNORE_INDEX, Frame, FrameLike


def resize_target(values: np.ndarray, frame: FrameLike) -> np.ndarray:
    """Class indices ``[H, W]`` uint8 as ``[*size]``; numbers ``[H, W]`` or ``[H, W, C]`` as ``[C, *size]`` float32.

    Every pixel takes the value of the nearest one; what the picture does not cover of a frame has no label.
    """
    frame = Frame.of(frame)
    values = in_view(values, frame)
    top, left, height, width = box_in(values.shape[:2], frame)
    resized, missing = resize_nearest(values, height, width), IGNORE_INDEX
    if values.dtype != np.uint8:
        resized = planes((resized if values.ndim == 3 else resized[:, :, None]).astype(np.float32))
        missing = np.nan
    return padded(resized, (top, left), frame.size, constant_values=missing)


def classes_in_view(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """``[num_classes]`` multi-hot: the classes that occur in uint8 indices of any shape; NaN where no pixel has a class."""
    present = np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes] > 0
    return present.astype(np.float32) if present.any() else np.full(num_classes, np.nan, np.float32)


def one_hot(index: int, count: int) -> np.ndarray:
    """``[count]`` float32; a negative index is an unknown scene, all NaN."""
    if index < 0:
        return np.full(count, np.nan, np.float32)
    return np.eye(1, count, index, dtype=np.float32)[0]
