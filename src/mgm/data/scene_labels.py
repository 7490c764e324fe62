"""Scene labels of a sample as vectors."""

from __future__ import annotations

import numpy as np

from mgm.types import IGNORE_INDEX


def classes_in_view(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """``[num_classes]`` multi-hot float32: the classes in uint8 indices of any shape; all NaN if no pixel has a class."""
    present = np.bincount(labels.ravel(), minlength=IGNORE_INDEX + 1)[:num_classes] > 0
    return present.astype(np.float32) if present.any() else np.full(num_classes, np.nan, np.float32)


def one_hot(index: int, count: int) -> np.ndarray:
    """One-hot vector ``[count]`` float32; all NaN for a negative index, which means an unknown scene."""
    if index < 0:
        return np.full(count, np.nan, np.float32)
    return np.eye(1, count, index, dtype=np.float32)[0]
