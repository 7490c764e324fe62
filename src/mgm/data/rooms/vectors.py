"""Arithmetic on arrays of vectors ``[3, n]``."""

from __future__ import annotations

import numpy as np


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products ``[n]`` along the first axis; much faster than ``(first * second).sum(0)``."""
    result = first[0] * second[0]
    result += first[1] * second[1]
    result += first[2] * second[2]
    return result


def length(vectors: np.ndarray) -> np.ndarray:
    """Euclidean lengths ``[n]``."""
    return np.sqrt(dot(vectors, vectors))


def pick(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Columns ``points`` of ``values`` ``[C, n]``."""
    return np.take(values, points, axis=1)
