"""Files of a folder as targets: from numbers of any kind to metres, unit vectors, class indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mgm.data.files import FileTree
from mgm.data.folder.settings import METRES, DepthLayer, FolderSettings, SemanticLayer
from mgm.data.images import check_labels, read_array, read_labels, read_numbers, read_rgb
from mgm.errors import DataError
from mgm.types import IGNORE_INDEX

SHORTEST, LONGEST = 0.5, 1.5
"""Vectors outside of these lengths are no normals: the pixel has no value."""
_CODED_CHANNELS = {"edge_texture": 1, "reshading": 1, "principal_curvature": 2}


def read_picture(tree: FileTree, file: str) -> np.ndarray:
    """``[H, W, 3]`` uint8 colours, of a picture or an array.

    Raises:
        DataError: If it is unreadable or something else.
    """
    where, content = tree.describe(file), tree.read(file)
    if not file.lower().endswith(".npy"):
        return read_rgb(content, where)
    pixels = read_array(content, where)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(f"{where}: is {pixels.dtype} {pixels.shape}, not uint8 H x W x 3; write it again")
    return pixels


def read_target(tree: FileTree, file: str, task: str, settings: FolderSettings, classes: Sequence[str]) -> np.ndarray:
    """The values of a label file at its own size.

    Args:
        tree: The folder.
        file: The file.
        task: What it shows.
        settings: What its numbers mean.
        classes: Names of the semantic classes.

    Returns:
        ``semantic``: ``[H, W]`` uint8, 255 without a class; others ``[H, W, C]`` float32, NaN without a value.

    Raises:
        DataError: If it is unreadable, of the wrong bit depth, or has values that cannot be.
    """
    where = tree.describe(file)
    if task == "semantic":
        return _semantic(tree, file, settings.semantic, classes)
    numbers = _numbers(tree, file)
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers that are refused, or mean no value, further on
        if task == "depth":
            return _depth(numbers, settings.depth, where)
        if task == "normal":
            return _normal(_vectors(numbers, where), settings.normal.axes)
        return _coded(numbers, settings.maximum(task), _CODED_CHANNELS[task], where)


def normal_lengths(tree: FileTree, file: str) -> np.ndarray:
    """``[H, W]``: the lengths of the vectors as the file has them.

    Raises:
        DataError: See `read_target`.
    """
    vectors = _vectors(_numbers(tree, file), tree.describe(file))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(vectors, axis=2)


def raw_labels(tree: FileTree, file: str) -> np.ndarray:
    """``[H, W]`` integers, as the file has them.

    Raises:
        DataError: See `read_target`.
    """
    where, content = tree.describe(file), tree.read(file)
    if not file.lower().endswith(".npy"):
        return read_labels(content, where)
    labels = read_array(content, where)
    if labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[:, :, 0]
    if labels.ndim != 2 or 0 in labels.shape or labels.dtype.kind not in "biu":
        raise DataError(f"{where}: is {labels.dtype} {labels.shape}; labels are whole numbers, H x W; write it again")
    return labels


def _semantic(tree: FileTree, file: str, layer: SemanticLayer, classes: Sequence[str]) -> np.ndarray:
    where = tree.describe(file)
    if layer.colours:
        return _from_colours(read_picture(tree, file), layer, classes, where)
    labels = raw_labels(tree, file)
    ignored = np.isin(labels, [IGNORE_INDEX, *layer.ignore])
    check_labels(np.where(ignored, IGNORE_INDEX, labels), len(classes), where)
    return np.where(ignored, IGNORE_INDEX, labels).astype(np.uint8)


def _from_colours(pixels: np.ndarray, layer: SemanticLayer, classes: Sequence[str], where: str) -> np.ndarray:
    codes = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    labels = np.full(codes.shape, IGNORE_INDEX, np.uint8)
    known = np.zeros(codes.shape, bool)
    for colour in layer.ignore_colours:
        known |= codes == _code(colour)
    for index, name in enumerate(classes):
        match = codes == _code(layer.colours[name])
        labels[match] = index
        known |= match
    if not known.all():
        colour = pixels[~known][0].tolist()
        raise DataError(
            f"{where}: colour {colour} is that of no class; add it to 'semantic: colours' (or ignore_colours) in "
            "dataset.yaml. Label maps must not be JPEG, which changes colours"
        )
    return labels


def _code(colour: tuple[int, int, int]) -> int:
    return colour[0] * 65536 + colour[1] * 256 + colour[2]


def _numbers(tree: FileTree, file: str) -> np.ndarray:
    """``[H, W]`` or ``[H, W, C]``, as the file has them."""
    where, content = tree.describe(file), tree.read(file)
    numbers = read_array(content, where) if file.lower().endswith(".npy") else read_numbers(content, where)
    if numbers.ndim not in (2, 3) or 0 in numbers.shape:
        raise DataError(f"{where}: has shape {numbers.shape}, not H x W or H x W x channels; write it again")
    if numbers.ndim == 3 and numbers.shape[0] <= 3 < numbers.shape[2]:
        numbers = numbers.transpose(1, 2, 0)  # channels first
    return numbers[:, :, 0] if numbers.ndim == 3 and numbers.shape[2] == 1 else numbers


def _depth(numbers: np.ndarray, layer: DepthLayer, where: str) -> np.ndarray:
    if numbers.ndim != 2:
        raise DataError(
            f"{where}: has {numbers.shape[2]} channels; depth is one number per pixel: 16-bit grey PNG or .npy"
        )
    scale = layer.scale or METRES.get(layer.unit, 0)
    if not scale and numbers.dtype.kind != "f" and numbers.dtype.itemsize == 1:
        raise DataError(
            f"{where}: is 8-bit, which cannot hold millimetres; save it as 16-bit PNG, or say what a number means: "
            "'depth: {scale: METRES_PER_NUMBER}' in dataset.yaml"
        )
    scale = scale or (METRES["m"] if numbers.dtype.kind == "f" else METRES["mm"])
    metres = numbers.astype(np.float64) * scale
    valid = np.isfinite(metres) & (metres > 0) & ~np.isin(numbers, layer.missing)
    if layer.max_m:
        valid &= metres <= layer.max_m
    metres = np.where(valid, metres, np.nan)
    if (metres > np.finfo(np.float16).max).any():
        raise DataError(f"{where}: a depth of {np.nanmax(metres):g} m cannot be; say the unit in dataset.yaml")
    return metres[:, :, None].astype(np.float32)


def _vectors(numbers: np.ndarray, where: str) -> np.ndarray:
    """``[H, W, 3]`` float; coded in 8 bits as (n + 1) / 2 * 255, or as they are."""
    if numbers.ndim != 3 or numbers.shape[2] != 3:
        raise DataError(f"{where}: is {numbers.dtype} {numbers.shape}; normals have three channels: RGB PNG or .npy")
    if numbers.dtype == np.uint8:
        return numbers / 127.5 - 1
    if numbers.dtype.kind != "f":
        raise DataError(f"{where}: is {numbers.dtype}; normals are 8-bit RGB or fractions in -1..1; write it again")
    return numbers.astype(np.float64)


def _normal(vectors: np.ndarray, axes: str) -> np.ndarray:
    """Unit vectors, x right, y down, z forward; NaN for what is no direction."""
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    usable = np.isfinite(length) & (length >= SHORTEST) & (length <= LONGEST)
    unit = np.where(usable, vectors / np.where(usable, length, 1), np.nan).astype(np.float32)
    return unit * np.array([1, -1, -1], np.float32) if axes == "opengl" else unit


def _coded(numbers: np.ndarray, maximum: float, channels: int, where: str) -> np.ndarray:
    numbers = numbers if numbers.ndim == 3 else numbers[:, :, None]
    if numbers.shape[2] < channels:
        raise DataError(f"{where}: has {numbers.shape[2]} channel, {channels} are needed: the first two of an RGB PNG")
    if not maximum:
        maximum = 1.0 if numbers.dtype.kind == "f" else 255.0 if numbers.dtype.itemsize == 1 else 65535.0
    missing = (numbers == 0).all(axis=2, keepdims=True) if channels > 1 else np.zeros((1, 1, 1), bool)
    values = np.where(missing, np.nan, numbers[:, :, :channels] / maximum).astype(np.float32)
    if ((values < 0) | (values > 1)).any():
        raise DataError(
            f"{where}: values reach from {np.nanmin(values):g} to {np.nanmax(values):g}; they must lie in 0..1 after division by "
            f"{maximum:g}, which 'maximum' in dataset.yaml can change"
        )
    return values
