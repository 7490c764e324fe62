"""Conversion of full-size label arrays to targets and scene labels of a sample."""

from __future__ import annotations

import numpy as np

from mgm.data.images import box_in, in_view, padded, planes, resize_nearest
from mgm.types import IGNORE_INDEX, Frame, FrameLike


def resize_target(values: np.ndarray, frame: FrameLike) -> np.ndarray:
    """Resize a target to a frame by nearest neighbour; parts of the frame outside the image have no label.

    Class indices ``[H, W]`` uint8 become ``[*size]``; numbers ``[H, W]`` or ``[H, W, C]`` become ``[C, *size]`` float32.
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
    """``[num_classes]`` multi-hot float32: the classes in uint8 indices of any shape; all NaN if no pixel has a class."""
    present = np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes] > 0
    return present.astype(np.float32) if present.any() else np.full(num_classes, np.nan, np.float32)


def one_hot(index: int, count: int) -> np.ndarray:
    """One-hot vector ``[count]`` float32; all NaN for a negative index, which means an unknown scene."""
    if index < 0:
        return np.full(count, np.nan, np.float32)
    return np.eye(1, count, index, dtype=np.float32)[0]
