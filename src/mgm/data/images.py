"""Decoding of pictures and arrays from untrusted files, and resizing."""

from __future__ import annotations

import io
import warnings
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image

from mgm.errors import DataError

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a small file can claim any size."""

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
"""Formats that are decoded, whatever a file is called. Pillow would take some 40, and run Ghostscript on one of them (EPS)."""

_COLOUR_MODES = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "CMYK", "YCbCr", "1"})
_INDEX_MODES = frozenset({"L", "P", "I", "I;16", "I;16B", "I;16L"})
_NUMBER_MODES = frozenset({"L", "I", "I;16", "I;16B", "I;16L", "F", "RGB", "RGBA", "RGBX"})


def read_rgb(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode a colour picture; grey and palette pictures are converted, transparency is dropped.

    Args:
        source: A file, or its content.
        name: Name for messages; needed for bytes.

    Returns:
        ``[H, W, 3]`` uint8.

    Raises:
        DataError: If the file is missing, empty, damaged, no picture, absurdly large, or not of a colour mode.
    """
    image, name = decode(source, name)
    if image.mode not in _COLOUR_MODES:
        raise DataError(f"{name}: mode {image.mode!r} is not a colour picture of 8 bits; save it as 8-bit RGB")
    return to_rgb(image)


def to_rgb(image: Image.Image) -> np.ndarray:
    """``[H, W, 3]`` uint8 colours of a picture of 8 bits; transparency is dropped."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns about a direct conversion
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def read_labels(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode a map of integers: grey of 8 or 16 bits as it is, a palette picture as its indices.

    Arguments as for `read_rgb`.

    Returns:
        ``[H, W]`` of an integer type.

    Raises:
        DataError: If the file is missing, empty, damaged, no picture, absurdly large, or has colour channels.
    """
    image, name = decode(source, name)
    if image.mode not in _INDEX_MODES:
        raise DataError(
            f"{name}: mode {image.mode!r} is not a map of one number per pixel; "
            "save labels as 8-bit grey or palette (or 16-bit grey) PNG, or say in dataset.yaml what the colours mean"
        )
    return np.array(image)


def read_numbers(source: Path | bytes, name: str = "") -> np.ndarray:
    """Decode a picture whose pixels are numbers: grey of 8 or 16 bits, fractions (TIFF), or three channels of 8 bits.

    Arguments as for `read_rgb`.

    Returns:
        ``[H, W]`` or ``[H, W, 3]``, as they are in the file; transparency is dropped.

    Raises:
        DataError: If the file is missing, empty, damaged, no picture, absurdly large, or has a palette or other channels.
    """
    image, name = decode(source, name)
    if image.mode not in _NUMBER_MODES:
        raise DataError(
            f"{name}: mode {image.mode!r} holds no plain numbers; save it as grey (8 or 16 bits) or RGB PNG"
        )
    return np.array(image.convert("RGB") if image.mode in ("RGBA", "RGBX") else image)


def read_array(source: Path | bytes, name: str = "") -> np.ndarray:
    """Load one NumPy array (``.npy``); pickled objects are refused, they could run code.

    Raises:
        DataError: If the file is missing, empty, damaged, or holds anything but numbers.
    """
    content, name = _content(source, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            shape, dtype = _array_header(content)
            if dtype.kind not in "biuf":
                raise DataError(f"{name}: holds objects or text, not numbers; write it again with numpy.save")
            if prod(shape) * dtype.itemsize > len(content):
                raise DataError(f"{name}: is cut short; write it again with numpy.save")
            return np.load(io.BytesIO(content), allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # the header is Python text, and may be anything
        raise DataError(
            f"{name}: not a readable .npy array of numbers ({error}); write it again with numpy.save"
        ) from error


def _array_header(content: bytes) -> tuple[tuple[int, ...], np.dtype]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if min(shape, default=0) < 0:
        raise ValueError(f"shape {shape}")
    return shape, dtype


def check_same_size(name: str, array: np.ndarray, other_name: str, other: np.ndarray) -> None:
    """Check that two pictures of one sample cover the same pixels.

    Args:
        name: File of ``array``.
        array: ``[H, W, ...]``.
        other_name: File of ``other``.
        other: ``[H, W, ...]``.

    Raises:
        DataError: If height or width differ.
    """
    if array.shape[:2] != other.shape[:2]:
        height, width = array.shape[:2]
        other_height, other_width = other.shape[:2]
        raise DataError(
            f"{name} is {width} x {height} pixels but {other_name} is {other_width} x {other_height}; "
            "the pictures of a sample must match: prepare this pair again"
        )


def resize_rgb(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample a colour picture: averages (box filter) where it shrinks, bicubic where it grows, per axis.

    Args:
        image: ``[H, W, 3]`` uint8.
        height: New height in pixels.
        width: New width in pixels.

    Returns:
        ``[height, width, 3]`` uint8.
    """
    picture = Image.fromarray(np.ascontiguousarray(image))
    vertical, horizontal = _filter(image.shape[0], height), _filter(image.shape[1], width)
    if vertical == horizontal:
        return np.array(picture.resize((width, height), vertical))
    picture = picture.resize((width, picture.height), horizontal)
    return np.array(picture.resize((width, height), vertical))


def resize_nearest(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample labels: every new pixel copies the pixel under its centre, so no value is ever made up.

    Args:
        values: ``[H, W]`` or ``[H, W, C]`` of any type; NaN and ignore labels move like other values.
        height: New height in pixels.
        width: New width in pixels.

    Returns:
        ``[height, width]`` or ``[height, width, C]`` of the same type.
    """
    rows = (2 * np.arange(height) + 1) * values.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * values.shape[1] // (2 * width)
    return values[rows[:, None], columns[None, :]]


def planes(image: np.ndarray) -> np.ndarray:
    """``[H, W, C]`` to a contiguous ``[C, H, W]``."""
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def _filter(old: int, new: int) -> Image.Resampling:
    return Image.Resampling.BOX if new <= old else Image.Resampling.BICUBIC


def _content(source: Path | bytes, name: str) -> tuple[bytes, str]:
    if isinstance(source, Path):
        name = name or str(source)
        try:
            source = source.read_bytes()
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror}); check the path") from error
    name = name or "a picture"
    if not source:
        raise DataError(f"{name}: the file is empty; fetch or prepare it again")
    return source, name


def decode(source: Path | bytes, name: str = "") -> tuple[Image.Image, str]:
    """A picture in the mode of its file, and its name for messages.

    Raises:
        DataError: If the file is missing, empty, damaged, no picture, or absurdly large.
    """
    content, name = _content(source, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes that are checked below
            image = Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name}: claims to have more than {MAX_PIXELS // 1_000_000} million pixels; remove it or scale it down"
        ) from error
    except Image.UnidentifiedImageError as error:
        raise DataError(f"{name}: is no picture that can be read (PNG, JPEG, ...); replace or remove it") from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise DataError(f"{name}: is damaged or cut short ({error}); fetch or prepare it again") from error
    return image, name
