"""Reading of photographs for prediction: any usual format, turned upright, as 8-bit RGB."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mgm.data.images import MAX_PIXELS, decode, to_rgb
from mgm.errors import DataError

_COLOUR_MODES = frozenset(
    {"RGB", "RGBA", "RGBX", "RGBa", "L", "LA", "La", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "1"}
)
_DEEP_GREY_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"})
"""Endings of the files that are taken from a folder; a file that is named itself may have any, but has to be of one of
`mgm.data.images.PICTURE_FORMATS`."""


def read_photograph(source: str | Path | Image.Image | np.ndarray, name: str = "") -> np.ndarray:
    """Read a photograph as the 8-bit RGB that networks are trained on.

    Turned upright as its EXIF data say. Grey, palette and CMYK pictures become RGB; transparency is dropped; grey of 16
    bits is scaled so that 65535 is white.

    Args:
        source: A file, a PIL image, or an ``[H, W, 3]`` uint8 array.
        name: Name for messages; empty: its path.

    Returns:
        ``[H, W, 3]`` uint8.

    Raises:
        DataError: If it is missing, damaged, no picture, absurdly large, or of a pixel format that is no photograph.
    """
    if isinstance(source, np.ndarray):
        return _checked(source)
    if isinstance(source, Image.Image):
        image, name = source, name or getattr(source, "filename", "") or "the image"
        if image.width * image.height > MAX_PIXELS:
            raise DataError(f"{name}: has more than {MAX_PIXELS // 1_000_000} million pixels; scale it down")
    else:
        image, name = decode(Path(source), name)
    return _eight_bits(_upright(image), name)


def _checked(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise DataError(
            f"an array of shape {pixels.shape} and type {pixels.dtype} is no photograph; give [height, width, 3] of uint8 (RGB)"
        )
    return pixels


def _upright(image: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data can raise anything; the picture is as good without, as viewers show it
        return image


def _eight_bits(image: Image.Image, name: str) -> np.ndarray:
    if image.mode in _DEEP_GREY_MODES:
        levels = np.array(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise DataError(f"{name}: grey values beyond 16 bits have no known white; save it as 8 or 16 bits")
        return np.repeat(np.round(levels / 257).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode not in _COLOUR_MODES:
        raise DataError(f"{name}: mode {image.mode!r} is no photograph of 8 or 16 bits; save it as 8-bit RGB")
    return to_rgb(image)
