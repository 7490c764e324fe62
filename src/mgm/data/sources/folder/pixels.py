"""Decoding of the image and array files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from mgm.data.channels import image_dtype, read_image
from mgm.data.files import FileTree
from mgm.data.images import read_array, read_exact_rgb, read_labels, read_numbers, read_palette, read_rgb
from mgm.errors import DataError
from mgm.tasks.files import Colour, Pixels
from mgm.types import IGNORE_INDEX, ImageFormat

_DECODERS = {
    "colours": read_rgb,
    "exact colours": read_exact_rgb,
    "indices": read_labels,
    "numbers": read_numbers,
    "levels": partial(read_numbers, exact=False),
}


Palette = dict[int, tuple[Colour, str]]
"""Index -> its palette colour, and a label map that uses it."""


def read_pixels(tree: FileTree, file: str, kind: Pixels, palette: Palette | None = None) -> np.ndarray:
    """Decode an image or array file.

    Args:
        tree: The folder.
        file: An image, or ``.npy`` or ``.npz`` of ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``.
        kind: How an image is decoded. Arrays of colours must be uint8, or floats in [0, 1].
        palette: Colours that indices must have if the file has a palette, see `palette_of`; other indices may have any.

    Returns:
        ``[H, W]`` or ``[H, W, C]``, as stored; colours are uint8 ``[H, W, 3]``.

    Raises:
        DataError: If it is unreadable or of another kind, or an index has another colour than in ``palette``.
    """
    where, content = tree.describe(file), tree.read(file)
    if not is_array(file):
        values = _DECODERS[kind](content, where)
        if palette and kind == "indices":
            _compare(palette, _used_colours(content, values, where), where)
        return values
    values = read_array(content, where)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise DataError(f"{where}: has shape {values.shape}, not H x W or H x W x channels; write the file again")
    if values.ndim == 3 and values.shape[0] <= 3 < values.shape[2]:
        values = values.transpose(1, 2, 0)
    if kind in ("colours", "exact colours"):
        return _colours(values, where)
    return values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values


def is_array(file: str) -> bool:
    """Whether a file holds a NumPy array, by its name."""
    return file.lower().endswith((".npy", ".npz"))


def palette_of(tree: FileTree, files: Iterable[str]) -> Palette:
    """Colours of the indices in label maps, each as in the first of ``files`` that uses it; unreadable files are skipped."""
    found: Palette = {}
    for file in files:
        with suppress(DataError):  # reported when the sample is read
            if not is_array(file):
                content, where = tree.read(file), tree.describe(file)
                found = _used_colours(content, read_labels(content, where), where) | found
    return found


def image_format(tree: FileTree, files: Iterable[str], declared: ImageFormat) -> ImageFormat:
    """The declared format, changed to uint8 if the first readable file has 8 bits and every range spans less than 256 numbers."""
    for file in files if declared.dtype == "uint16" else ():
        with suppress(DataError):  # reported when the sample is read
            dtype = image_dtype(tree.read(file), tree.describe(file))
            fits = (
                dtype.kind in "ub"
                and dtype.itemsize == 1
                and all(high - low < 256 for low, high in declared.value_range)
            )
            return replace(declared, dtype="uint8" if fits else "uint16")
    return declared


def read_levels(tree: FileTree, file: str, kind: ImageFormat) -> np.ndarray:
    """Read an image as ``[H, W, C]`` of ``kind.dtype``. Raises the errors of `read_pixels` and `read_image`."""
    if kind.is_photograph:
        return read_pixels(tree, file, "colours")
    return read_image(tree.read(file), kind, tree.describe(file), "dataset.yaml ('rgb: {channels: ...}')")


def _used_colours(content: bytes, labels: np.ndarray, where: str) -> Palette:
    """Palette colours of the indices that occur in a label map; empty if it has no palette."""
    colours = read_palette(content, where)
    used = [index for index in np.unique(labels).tolist() if index < len(colours) and index != IGNORE_INDEX]
    return {index: (colours[index], where) for index in used}


def _compare(palette: Palette, used: Palette, where: str) -> None:
    for index, found in used.items():
        (colour, _), (wanted, other) = found, palette.get(index, found)
        if colour != wanted:
            raise DataError(
                f"{where}: index {index} has the colour {list(colour)}, but {list(wanted)} in {other}: their palettes "
                "differ, so indices have no fixed meaning; set 'colours: {NAME: [R, G, B]}' for the task in dataset.yaml (or, if "
                "the indices are right, save all label maps with one palette, or as grey)"
            )


def _colours(values: np.ndarray, where: str) -> np.ndarray:
    if values.ndim != 3 or values.shape[2] != 3 or (values.dtype != np.uint8 and values.dtype.kind != "f"):
        raise DataError(
            f"{where}: is {values.dtype} {values.shape}, not H x W x 3 of uint8 or floats; write the file again, or declare the "
            "images in dataset.yaml: 'rgb: {channels: 4, range: [0, 4095]}'"
        )
    if values.dtype == np.uint8:
        return values
    if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1.001:
        raise DataError(
            f"{where}: colours must be uint8 or lie in [0, 1], not {values.min():g} to {values.max():g}; write the file again"
        )
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
