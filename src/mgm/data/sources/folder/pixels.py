"""Decoding the picture and array files of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from mgm.data.channels import image_dtype, read_image
from mgm.data.files import FileTree
from mgm.data.images import read_array, read_exact_rgb, read_labels, read_numbers, read_palette, read_rgb
from mgm.errors import DataError
from mgm.tasks.files import Colour, Pixels
from mgm.types import IGNORE_INDEX, ImageFormat

_DECODERS = {"colours": read_rgb, "exact colours": read_exact_rgb, "indices": read_labels, "numbers": read_numbers}


Palette = dict[int, tuple[Colour, str]]
"""Index -> its colour in the label maps read so far, and the first file that has it."""


def read_pixels(tree: FileTree, file: str, kind: Pixels, palette: Palette | None = None) -> np.ndarray:
    """Decode a picture or array file.

    Args:
        tree: The folder.
        file: A picture, or ``.npy`` or ``.npz`` of ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``.
        kind: How a picture is decoded; arrays of colours are uint8 or fractions in [0, 1].
        palette: What the indices of the other files look like; completed by this one.

    Returns:
        ``[H, W]`` or ``[H, W, C]``, as the file has them; colours are uint8 ``[H, W, 3]``.

    Raises:
        DataError: If it is unreadable or something else, or an index has another colour than in a file that was read before.
    """
    where, content = tree.describe(file), tree.read(file)
    if not file.lower().endswith((".npy", ".npz")):
        values = _DECODERS[kind](content, where)
        if palette is not None and kind == "indices":
            _compare(palette, values, read_palette(content, where), where)
        return values
    values = read_array(content, where)
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise DataError(f"{where}: has shape {values.shape}, not H x W or H x W x channels; write it again")
    if values.ndim == 3 and values.shape[0] <= 3 < values.shape[2]:
        values = values.transpose(1, 2, 0)
    if kind in ("colours", "exact colours"):
        return _colours(values, where)
    return values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values


def image_format(tree: FileTree, files: Iterable[str], declared: ImageFormat) -> ImageFormat:
    """What is declared of images; of 8 bits where the first that can be read has no more, and they tell its numbers apart."""
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
    """An image as levels ``[H, W, C]``; raises as `read_pixels` and `read_image` do."""
    if kind.is_photograph:
        return read_pixels(tree, file, "colours")
    return read_image(tree.read(file), kind, tree.describe(file), "dataset.yaml ('rgb: {channels: ...}')")


def _compare(palette: Palette, values: np.ndarray, colours: list[Colour], where: str) -> None:
    used = [index for index in np.unique(values).tolist() if index < len(colours) and index != IGNORE_INDEX]
    for index in used:
        colour, other = palette.get(index, (colours[index], where))
        if colour != colours[index]:
            raise DataError(
                f"{where}: index {index} is the colour {list(colours[index])}, but {list(colour)} in {other}: their palettes "
                "differ, so indices tell nothing; give the task 'colours: {NAME: [R, G, B]}' in dataset.yaml (or, if the indices "
                "are right, save all label maps with one palette, or as grey)"
            )
    for index in used:
        palette.setdefault(index, (colours[index], where))


def _colours(values: np.ndarray, where: str) -> np.ndarray:
    if values.ndim != 3 or values.shape[2] != 3 or (values.dtype != np.uint8 and values.dtype.kind != "f"):
        raise DataError(
            f"{where}: is {values.dtype} {values.shape}, not H x W x 3 of uint8 or fractions; write it again, or declare what "
            "images hold: 'rgb: {channels: 4, range: [0, 4095]}' in dataset.yaml"
        )
    if values.dtype == np.uint8:
        return values
    if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1.001:
        raise DataError(
            f"{where}: colours must be uint8 or lie in [0, 1], not {values.min():g} to {values.max():g}; write it again"
        )
    return (values.clip(0, 1) * 255).round().astype(np.uint8)
