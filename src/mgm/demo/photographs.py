"""Photographs that visitors of the page hand in, and those of a run's own test set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data.channels import read_image, rgb_of
from mgm.data.images import PICTURE_FORMATS
from mgm.data.store import StoreSource
from mgm.errors import DataError
from mgm.report.figures.images import fitted_size, resized, spread_evenly
from mgm.runs.folder import RunFolder
from mgm.runs.images import open_run_data
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.types import ImageFormat

MAX_UPLOAD = "20mb"
"""Larger files are refused before they are stored."""
MAX_PIXELS = 40_000_000
"""Larger pictures are refused before they are decoded."""
MAX_ASPECT = 8
"""Longer strips are refused: the network sees an image of one shape."""
WORKING_SIDE = 768
"""Larger photographs are scaled down to this longer side before anything else; networks see 64 to 256 pixels."""
EXAMPLE_SIDE = 256
NUM_EXAMPLES = 8


@dataclass(frozen=True)
class Photograph:
    """A picture to predict on."""

    name: str
    pixels: np.ndarray
    """Levels ``[H, W, C]``: uint8 RGB, or what `kind` says."""
    truth: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Task -> value as in `Task.decode`, without batch dimension; empty unless the picture is a labelled example."""
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    """What the numbers of `truth` mean, for the tasks that the data set defines."""
    kind: ImageFormat = field(default_factory=ImageFormat)

    @property
    def rgb(self) -> np.ndarray:
        """What is shown of it, ``[H, W, 3]`` uint8."""
        return rgb_of(self.pixels, self.kind)


def read_photograph(path: Path, name: str, kind: ImageFormat | None = None) -> Photograph:
    """Decode an uploaded file, turn it upright, and scale it down to what is worked with.

    Args:
        path: Where the upload lies.
        name: What its owner calls it.
        kind: What the page's models take; None: photographs.

    Raises:
        DataError: If it is no picture, damaged, too large or too long and thin; the message is fit to be shown on the page.
    """
    kind = kind or ImageFormat()
    if kind.is_photograph:
        _check_size(name, *_size(path, name))
    pixels = read_image(path, kind, name, most_pixels=MAX_PIXELS)
    height, width = pixels.shape[:2]
    _check_size(name, width, height)
    smaller = resized(pixels, fitted_size(height, width, min(WORKING_SIDE, max(height, width))))
    return Photograph(name, smaller, kind=kind)


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(_too_large(name, f" ({width} × {height})"))
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"{name}: {width} × {height} pixels is too long and thin to predict on; crop it")


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


def example_photographs(run: Path, num: int = NUM_EXAMPLES) -> tuple[Photograph, ...]:
    """Images that a run is tested on, with their labels, at their own resolution, spread evenly over the test set.

    Raises:
        MgmError: If there is no such run, or its data are not on this machine (any more), or mean something else by now.
    """
    folder = RunFolder(run)
    data, seen = open_run_data(folder), folder.experiment().data.size
    source, test = data.source, data.splits.test
    if not len(test):
        raise DataError(f"no image of {data.info.name} that the run was tested on is there any more")
    own = tasks_for(source.info, tuple(source.info.own_tasks)) if source.info.own_tasks else {}
    examples: list[Photograph] = []
    for index in test[spread_evenly(len(test), num)].tolist():
        shape = source.shape(index)
        size = fitted_size(*shape, min(WORKING_SIDE, max(shape))) if shape else fitted_size(*seen, EXAMPLE_SIDE)
        sample = source.read(index, source.store.frame if isinstance(source, StoreSource) else size)
        truth = {name: torch.from_numpy(target) for name, target in sample.targets.items()}
        truth = {name: value.long() if value.dtype == torch.uint8 else value for name, value in truth.items()}
        pixels = np.ascontiguousarray(sample.image.transpose(1, 2, 0))
        examples.append(Photograph(sample.name, pixels, truth, own, source.info.image))
    return tuple(examples)
