"""Pictures inside a page, as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from mgm.errors import RunError

LARGEST_FILE = 600_000
"""Bytes of a picture file that is embedded as it is; a larger one is scaled down."""
LARGEST_WIDTH = 1600
JPEG_QUALITY = 90


def data_uri(pixels: np.ndarray) -> str:
    """Pixels ``[H, W, 3]`` (or 4 channels, the last opacity) uint8 as PNG or, where that is smaller, as JPEG."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    files = {"png": _encoded(picture, format="PNG", optimize=True)}
    if pixels.shape[-1] == 3:
        files["jpeg"] = _encoded(picture, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    kind, content = min(files.items(), key=lambda file: len(file[1]))
    return _uri(kind, content)


def file_uri(path: Path) -> str:
    """A PNG file of any size.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        content = path.read_bytes()
        if len(content) <= LARGEST_FILE:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
                picture.verify()
            return _uri("png", content)
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            flat = picture.convert("RGB")
            flat.thumbnail((LARGEST_WIDTH, 4 * LARGEST_WIDTH))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunError(f"{path} cannot be read as a PNG picture ({error}); delete it or make it again") from None
    return data_uri(np.asarray(flat))


def _encoded(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
