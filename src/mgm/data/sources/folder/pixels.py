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
"""Index -> its palette colour in the label maps read so far, and the first file that uses it."""


def read_pixels(tree: FileTree, file: str, kind: Pixels, palette: Palette | None = None) -> np.ndarray:
    """Decode an image or array file.

    Args:
        tree: The folder.
        file: An image, or ``.npy`` or ``.npz`` of ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``.
        kind: How an image is decoded. Arrays of colours must be uint8, or floats in [0, 1].
        palette: Colours of the indices in the files read before; this file's are added.

    Returns:
        ``[H, W]`` or ``[H, W, C]``, as stored; colours are uint8 ``[H, W, 3]``.

    Raises:
        DataError: If it is unreadable or of another kind, or an index has a different palette colour than in a file read before.
    """
    where, content = tree.describe(file), tree.read(file)
    if not file.lower().endswith((".npy", ".npz")):
        values = _DECODERS[kind](content, where)
        if palette is not None and kind == "indices":
            _compare(palette, values, read_palette(content, where), where)
        return values
    values = read_array(content, where)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise DataError(f"{where}: has shape {values.shape}, not H x W or H x W x channels; write the file again")
    if values.ndim == 3 and values.shape[0] <= 3 < values.shape[2]:
        values = values.transpose(1, 2, 0)
    if kind in ("colours", "exact colours"):
        return _colours(values, where)
    return values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values


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


def _compare(palette: Palette, values: np.ndarray, colours: list[Colour], where: str) -> None:
    used = [index for index in np.unique(values).tolist() if index < len(colours) and index != IGNORE_INDEX]
    for index in used:
        colour, other = palette.get(index, (colours[index], where))
        if colour != colours[index]:
            raise DataError(
                f"{where}: index {index} has the colour {list(colours[index])}, but {list(colour)} in {other}: their palettes "
                "differ, so indices have no fixed meaning; set 'colours: {NAME: [R, G, B]}' for the task in dataset.yaml (or, if "
                "the indices are right, save all label maps with one palette, or as grey)"
            )
    for index in used:
        palette.setdefault(index, (colours[index], where))


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
