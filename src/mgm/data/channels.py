"""Images with 1 to 16 channels of any numeric type: decoding of untrusted files, and conversion to RGB for display."""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mgm.data.files import MAX_FILE_BYTES
from mgm.data.images import (
    MAX_PIXELS,
    content_of,
    decode,
    is_reduced,
    is_tiff,
    numbers_of,
    read_array,
    read_photograph,
    upright,
)
from mgm.errors import DataError
from mgm.types import MAX_CHANNELS, ImageFormat

EIGHT_BITS = 255
"""Largest number in an 8-bit file."""
MOST_PAGES = 8192
"""Maximum number of pages of a TIFF file: one per channel, or one per row, as some software writes interleaved channels."""
AXES = {"YX": None, "YXS": 2, "SYX": 0}
"""Axes of a page as named by tifffile -> index of the channel axis."""
DEFLATE = (8, 32946, 50013)
"""Values of the compression tag of TIFF (259)."""
UNLIMITED = (34925, 34926, 50000)
"""Likewise of LZMA and Zstandard, which tifffile decompresses without a limit unless imagecodecs is installed."""
_PLAIN_MODES = frozenset(["L", "LA", "RGB", "RGBA", "RGBX", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"])
"""Pillow modes whose bands are the channels of the file; all others are converted to RGB."""


def read_image(
    source: str | Path | bytes | Image.Image | np.ndarray,
    kind: ImageFormat,
    name: str = "",
    taker: str = "this model",
    *,
    most_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Read an image with the channels and dtype of an `ImageFormat`.

    Args:
        source: Path or content of a file (PNG, JPEG, ..., TIFF with any number of channels, ``.npy``), a PIL image, or an array
            ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]``.
        kind: Wanted format. Photographs are read by `mgm.data.images.read_photograph`.
        name: Name of the image, for messages.
        taker: What needs the image, for messages.
        most_pixels: Larger TIFF files and arrays are refused before they are decoded.

    Returns:
        ``[H, W, kind.channels]`` of ``kind.dtype``.

    Raises:
        DataError: If it is unreadable, has the wrong number of channels, or numbers of unknown range.
    """
    if kind.is_photograph and not isinstance(source, bytes):
        try:
            return read_photograph(source, name)
        except DataError:
            if isinstance(source, str | Path):
                _check_photograph(source, name, taker)
            raise
    values, name, axis = _stored(source, name, most_pixels)
    return to_levels(_interleaved(values, axis, kind.channels, name, taker), kind, name)


def image_dtype(content: bytes, name: str) -> np.dtype:
    """Dtype of the numbers in a file. Raises the errors of `read_image`."""
    return _stored(content, name)[0].dtype


def _check_photograph(source: str | Path, name: str, taker: str) -> None:
    """Raise `DataError` if a file that is no photograph is a readable image with other channels, or of fractions."""
    try:
        values, name, axis = _stored(source, name)
    except DataError:  # the error of `read_photograph` is the better one
        return
    count = 1 if values.ndim == 2 else min(values.shape) if axis is None else values.shape[axis]
    if count not in (1, 3) or values.dtype.kind == "f":
        raise DataError(
            f"{name}: has {count} channel{'s' * (count > 1)} of {values.dtype}; {taker} takes RGB photographs of 8 or 16 bits"
        ) from None


def to_levels(values: np.ndarray, kind: ImageFormat, name: str) -> np.ndarray:
    """Map numbers ``[H, W, C]`` from their range to the integers of ``kind.dtype``; clipped to the range, NaN becomes 0.

    Raises:
        DataError: If no range is declared and that of the numbers' dtype is unknown or differs from the other images, or if all
            numbers are NaN.
    """
    levels = np.empty(values.shape, kind.dtype)
    top = np.iinfo(levels.dtype).max
    if values.dtype == bool:
        values = values.astype(np.uint8) * EIGHT_BITS
    if values.dtype.kind == "f" and np.isnan(values).all():
        raise DataError(f"{name}: all numbers are NaN; leave this image out")
    spans = kind.value_range or (_range_by_type(values, name),)
    if kind.value_range and values.dtype == np.uint8 and max(high for _, high in spans) > EIGHT_BITS:
        raise DataError(
            f"{name}: is an 8-bit file, but numbers up to {max(high for _, high in spans):g} are expected; use the file with "
            "the original numbers, not an 8-bit rendering of it"
        )
    if not kind.value_range and kind.dtype == "uint8" and values.dtype.kind in "iu" and values.dtype.itemsize > 1:
        raise DataError(
            f"{name}: has {8 * values.dtype.itemsize} bits, but 8-bit images are expected, so its numbers cannot be compared with "
            "theirs; save all images with the same bits, or declare their range in dataset.yaml ('rgb: {range: [0, 4095]}')"
        )
    if values.dtype == levels.dtype and all(span == (0, top) for span in spans):
        return values
    for channel in range(values.shape[2]):  # one channel at a time: as floats they take eight times the memory
        low, high = spans[channel if len(spans) > 1 else 0]
        shares = (np.nan_to_num(values[:, :, channel].astype(np.float64), nan=low) - low) / (high - low)
        levels[:, :, channel] = (shares.clip(0, 1) * top).round()
    return levels


def _range_by_type(values: np.ndarray, name: str) -> tuple[float, float]:
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return 0, np.iinfo(values.dtype).max
    fractions = values.dtype.kind == "f"
    if fractions and np.nanmin(values, initial=0) >= -1e-3 and np.nanmax(values, initial=0) <= 1.001:
        return 0, 1
    found = f"{np.nanmin(values):g} to {np.nanmax(values):g}" if values.size else "none"
    raise DataError(
        f"{name}: holds {values.dtype} numbers ({found}), and it is unknown which mean black and white; declare it in "
        "dataset.yaml: 'rgb: {channels: ..., range: [LOWEST, HIGHEST]}'"
    )


def _stored(
    source: str | Path | bytes | Image.Image | np.ndarray, name: str, most_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, str, int | None]:
    """The stored numbers, the name for messages, and the channel axis if the file defines it."""
    if isinstance(source, np.ndarray):
        return source, name or "the array", None
    if isinstance(source, Image.Image):
        if source.width * source.height > MAX_PIXELS:
            raise DataError(f"the image has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down")
        return _planes_of(upright(source)), name or "the image", None
    content, name = content_of(Path(source) if isinstance(source, str) else source, name)
    if content.startswith((b"\x93NUMPY", b"PK")):
        return read_array(content, name, 8 * most_pixels), name, None
    if is_tiff(content):
        values, axis = _read_tiff(content, name, most_pixels)
        return values, name, axis
    image, name = decode(content, name)
    if is_reduced(image):
        raise DataError(f"{name}: has 16-bit colours, which are only read from TIFF and .npy; save it as one of these")
    return _planes_of(image), name, None


def _planes_of(image: Image.Image) -> np.ndarray:
    """Convert a PIL image to an array ``[H, W]`` or ``[H, W, C]``."""
    if image.mode not in _PLAIN_MODES:
        image = image.convert("RGBA" if image.mode == "P" and "transparency" in image.info else "RGB")
    if image.mode != "I":
        return np.array(image)
    values = numbers_of(image)  # usually 16-bit grey, which Pillow widens to int32
    return values.astype(np.uint16) if values.min() >= 0 and values.max() <= 65535 else values


def _read_tiff(content: bytes, name: str, most_pixels: int) -> tuple[np.ndarray, int | None]:
    """Read a TIFF file with any number of channels, interleaved, in planes, or one per page; also returns the channel axis.

    Reads only the pages. Metadata of other software is ignored: it may be XML that names other files.
    """
    import tifffile  # needed for few data sets

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # damaged files are reported by our own errors
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            found: Iterator[Any] = islice(file.pages, MOST_PAGES + 1)
            pages = [page for page in found if not page.is_reduced and not page.is_mask]
            first = pages[0]
            unlimited = not find_spec("imagecodecs") and any(page.compression in UNLIMITED for page in pages)
            if problem := _tiff_problem(content, pages, most_pixels):
                raise DataError(f"{name}: {problem}")
            if not unlimited and first.photometric != tifffile.PHOTOMETRIC.PALETTE:
                planes = [page.asarray(maxworkers=1) for page in pages]
                return (planes[0], AXES.get(first.axes)) if len(planes) == 1 else (np.stack(planes), None)
    except DataError:
        raise
    except Exception as error:  # decoders of damaged files raise nearly anything
        if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
            raise DataError(f"{name}: is damaged or truncated ({error}); download or prepare it again") from error
    # Pillow reads these exactly: palettes, and 8-bit grey and colours whose compression tifffile does not support
    image, _ = decode(content, name)
    if is_reduced(image):
        raise DataError(
            f"{name}: its compression needs another package: pip install imagecodecs; or save it with deflate compression"
        )
    return _planes_of(image), None


def _tiff_problem(content: bytes, pages: Sequence[Any], most_pixels: int) -> str:
    """Error message if the pages of a TIFF file must not be decoded; empty if they can be."""
    first = pages[0]
    if (
        len(pages) > MOST_PAGES
        or any((page.shape, page.dtype) != (first.shape, first.dtype) for page in pages)
        or (len(pages) > 1 and len(first.shape) > 2)
    ):
        return "holds several images (pages); save the one you need as a separate file"
    if first.dtype is None or first.axes not in AXES:
        return f"holds {first.dtype} numbers with axes {first.axes}, which is not an image; save it as H x W x channels"
    size = len(pages) * prod(first.shape)
    if size > MAX_CHANNELS * most_pixels or size * first.dtype.itemsize > MAX_FILE_BYTES:
        return f"claims to be {len(pages)} x {first.shape} {first.dtype}, which is too large; remove it, or cut it into tiles"
    if first.tags.valueof("Orientation", default=1) != 1:
        return "is stored rotated (tag Orientation); save it upright, like its labels"
    for page in pages:
        most = prod(page.chunks) * first.dtype.itemsize
        for offset, count in (
            zip(page.dataoffsets, page.databytecounts, strict=True) if page.compression in DEFLATE else ()
        ):
            # checked here because tifffile decompresses without a limit
            if len(zlib.decompressobj().decompress(content[offset : offset + count], most + 1)) > most:
                return "is damaged: it holds more compressed data than it claims; download or prepare it again"
    return ""


def _interleaved(values: np.ndarray, axis: int | None, channels: int, name: str, taker: str) -> np.ndarray:
    """Rearrange ``[H, W]``, ``[H, W, C]`` or ``[C, H, W]`` to ``[H, W, channels]``; an unknown channel axis is found by its length.

    Of uint8 images with up to 4 channels, alpha and equal copies of a grey channel are dropped.

    Raises:
        DataError: If the channel axis is ambiguous, or the number of channels is wrong.
    """
    if values.dtype.kind not in "biuf" or values.ndim not in (2, 3) or 0 in values.shape:
        raise DataError(f"{name}: is {values.dtype} {values.shape}, not numbers of H x W or H x W x channels")
    if values.ndim == 2:
        values, axis = values[:, :, None], 2
    if axis is None:
        ends = [end for end in (2, 0) if values.shape[end] == channels]
        if len(ends) == 2:
            raise DataError(
                f"{name}: in shape {values.shape}, either axis of {channels} may be the channels; crop it, or save it as TIFF"
            )
        axis = ends[0] if ends else 2 if values.shape[2] <= values.shape[0] else 0
    values = np.moveaxis(values, axis, 2)
    found = values.shape[2]
    if values.shape[0] * values.shape[1] > MAX_PIXELS:
        raise DataError(f"{name}: has more than {MAX_PIXELS // 1_000_000} million pixels; cut it into tiles")
    if channels < found <= 4 and values.dtype == np.uint8:  # grey is often saved as RGB, and RGB with transparency
        colours = values[:, :, : found - (found + 1) % 2]
        if channels == 1 and (colours == colours[:, :, :1]).all():
            return colours[:, :, :1]
        if channels == 3:
            return colours
    if found != channels:
        raise DataError(
            f"{name}: has {found} channel{'s' * (found != 1)}; {taker} takes images of {channels}"
            f"{f' (at most {MAX_CHANNELS} can be used)' if found > MAX_CHANNELS else ''}"
        )
    return values
