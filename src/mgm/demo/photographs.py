"""Photographs that visitors of the page hand in, and those of a run's own test set."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data import images, open_source
from mgm.data.images import PICTURE_FORMATS, resize_rgb
from mgm.data.store import StoreSource
from mgm.errors import DataError
from mgm.runs.folder import RunFolder

MAX_UPLOAD = "20mb"
"""Larger files are refused before they are stored."""
MAX_PIXELS = 40_000_000
"""Larger pictures are refused before they are decoded."""
MAX_ASPECT = 8
"""Longer strips are refused: the network sees a square."""
WORKING_SIDE = 768
"""Larger photographs are scaled down to this longer side before anything else; networks see 64 to 256 pixels."""
EXAMPLE_SIDE = 256
NUM_EXAMPLES = 8


@dataclass(frozen=True)
class Photograph:
    """A picture to predict on."""

    name: str
    pixels: np.ndarray
    """``[H, W, 3]`` uint8 RGB."""
    truth: dict[str, Tensor] = field(default_factory=dict)
    """Task -> value as in `Task.decode`, without batch dimension; empty unless the picture is a labelled example."""


def read_photograph(path: Path, name: str) -> Photograph:
    """Decode an uploaded file, turn it upright, and scale it down to what is worked with.

    Args:
        path: Where the upload lies.
        name: What its owner calls it.

    Raises:
        DataError: If it is no picture, damaged, too large or too long and thin; the message is fit to be shown on the page.
    """
    width, height = _size(path, name)
    if width * height > MAX_PIXELS:
        raise DataError(_too_large(name, f" ({width} × {height})"))
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"{name}: {width} × {height} pixels is too long and thin to predict on; crop it")
    return Photograph(name, fitted(images.read_photograph(path, name)))


def _size(path: Path, name: str) -> tuple[int, int]:
    """Width and height that a file claims, without decoding it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of sizes that are checked by our own limit
        try:
            with Image.open(path, formats=PICTURE_FORMATS) as header:
                return header.size
        except Image.DecompressionBombError:
            raise DataError(_too_large(name)) from None
        except (OSError, ValueError, SyntaxError):
            raise DataError(f"{name}: is no picture that can be read; use a JPEG, PNG or WebP file") from None


def _too_large(name: str, size: str = "") -> str:
    return f"{name}: the picture is too large{size}; up to {MAX_PIXELS // 1_000_000} million pixels are taken: scale it down"


def fitted(pixels: np.ndarray, side: int = WORKING_SIDE) -> np.ndarray:
    """``[H, W, 3]`` pixels, scaled down where the longer side has more than ``side``."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    return resize_rgb(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def example_photographs(run: Path, num: int = NUM_EXAMPLES) -> tuple[Photograph, ...]:
    """Test images of the data that a run was trained on, with their labels, spread evenly over the test set.

    Raises:
        MgmError: If there is no such run, or its data are not on this machine (any more).
    """
    folder = RunFolder(run)
    config = folder.experiment().data
    source = open_source(config.data, config.num_images)
    test = source.splits(config.split, config.split_seed).test
    spread = test[np.linspace(0, len(test) - 1, min(num, len(test))).round().astype(int)]
    side = source.store.size if isinstance(source, StoreSource) else EXAMPLE_SIDE
    examples = []
    for index in spread.tolist():
        sample = source.read(index, side)
        truth = {name: torch.from_numpy(np.array(target)) for name, target in sample.targets.items()}
        truth = {name: value.long() if value.dtype == torch.uint8 else value for name, value in truth.items()}
        examples.append(Photograph(sample.name, np.ascontiguousarray(sample.image.transpose(1, 2, 0)), truth))
    return tuple(examples)
