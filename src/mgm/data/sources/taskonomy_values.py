"""Decoding of Taskonomy's files: units, ranges, invalid pixels.

Ranges follow the loader of StanfordVL/taskonomy where the tasks of this package allow it; see `NOTES`.
"""

from __future__ import annotations

import numpy as np

from mgm.data.images import read_array, read_labels, read_rgb
from mgm.errors import DataError
from mgm.tasks.files import decode_rgb_normals, unit_normals
from mgm.types import IGNORE_INDEX

CLASSES = (
    "background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase",
)  # fmt: skip
NUM_PLACES = 365
DEPTH_UNITS_PER_M = 512
NO_DEPTH = 65535
EDGE_RANGE = 0.08
"""Fraction of the 16-bit range that maps to an edge strength of 1; stronger edges are clipped."""
MASK_GROWTH_PX = 5
NOTES = {
    "semantic": "17 classes (background first), pseudo labels of a network; pixels that were uncertain are ignored",
    "normal": "value / 127.5 - 1; Taskonomy's axes are x right, y down, z towards the viewer: z is negated",
    "edge_texture": "value / 65535 from (0, 0.08) to (0, 1), clipped, as StanfordVL/taskonomy does to (-1, 1)",
    "reshading": "value / 255",
    "principal_curvature": "first two channels, value / 254, flat is 0.5; StanfordVL/taskonomy standardises them instead",
    "mask": f"normals, curvature and reshading are invalid where depth or mask_valid is, grown by {MASK_GROWTH_PX} px",
}


def read_depth(content: bytes, name: str) -> np.ndarray:
    """``[H, W]`` metres, NaN where depth is missing."""
    values = _read_16_bit(content, name)
    return np.where(values == NO_DEPTH, np.nan, values / np.float32(DEPTH_UNITS_PER_M)).astype(np.float32)


def read_normal(content: bytes, name: str) -> np.ndarray:
    """``[H, W, 3]`` unit vectors (x right, y down, z forward); NaN where the file is grey.

    Taskonomy encodes normals like 2D-3D-S: red to the right, green down, blue towards the camera (stated by the authors in
    EPFL-VILAB/omnidata, issue 13). The sign of the third component is therefore changed.
    """
    return unit_normals(decode_rgb_normals(read_rgb(content, name))) * np.array([1, 1, -1], np.float32)


def read_curvature(content: bytes, name: str) -> np.ndarray:
    """``[H, W, 2]`` in [0, 1], where 0.5 is flat; NaN where the file is black."""
    values = read_rgb(content, name)[:, :, :2]
    coded = np.minimum(values / np.float32(254), np.float32(1))
    return np.where((values == 0).all(axis=2, keepdims=True), np.float32(np.nan), coded)


def read_reshading(content: bytes, name: str) -> np.ndarray:
    """``[H, W]`` in [0, 1]."""
    return read_rgb(content, name).mean(axis=2, dtype=np.float32) / np.float32(255)


def read_edges(content: bytes, name: str) -> np.ndarray:
    """``[H, W]`` in [0, 1]."""
    return np.minimum(_read_16_bit(content, name) / np.float32(65535 * EDGE_RANGE), np.float32(1))


def read_semantic(content: bytes, name: str) -> np.ndarray:
    """``[H, W]`` uint8 class index, 255 where uncertain."""
    values = read_labels(content, name).astype(np.int64)
    if values.min() < 0 or values.max() > len(CLASSES):
        raise DataError(
            f"{name}: label {values.max()} is outside 0..{len(CLASSES)}; this may not be segment_semantic: download it again"
        )
    return np.where(values == 0, IGNORE_INDEX, values - 1).astype(np.uint8)


def read_mask(content: bytes, name: str) -> np.ndarray:
    """``[H, W]`` bool: True for valid pixels."""
    return read_labels(content, name) > 0


def read_place(content: bytes, name: str) -> int:
    """Index of the most probable of the 365 Places categories."""
    scores = read_array(content, name).ravel()
    if scores.shape != (NUM_PLACES,) or not np.isfinite(scores).all():
        raise DataError(f"{name}: does not hold {NUM_PLACES} finite scores; download it again")
    return int(scores.argmax())


def shrink(valid: np.ndarray, pixels: int) -> np.ndarray:
    """Erode a mask ``[H, W]`` of valid pixels: invalid pixels grow to squares with side ``2 * pixels + 1``."""
    from scipy.ndimage import minimum_filter

    return minimum_filter(valid, 2 * pixels + 1, mode="nearest")


def _read_16_bit(content: bytes, name: str) -> np.ndarray:
    values = read_labels(content, name)
    if values.dtype == np.uint8:
        raise DataError(f"{name}: has 8 bits instead of 16; download the original file")
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{name}: value {values.max()} does not fit into 16 bits; download the original file")
    return values
