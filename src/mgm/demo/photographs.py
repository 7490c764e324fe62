"""Input images of the page: uploads of visitors, and examples from a run's test set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.data.channels import read_image
from mgm.data.images import PICTURE_FORMATS
from mgm.data.store import StoreSource
from mgm.errors import DataError
from mgm.functional.levels import rgb_of
from mgm.report.figures.images import fitted_size, resized, spread_evenly
from mgm.runs.folder import RunFolder
from mgm.runs.images import open_run_data
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.types import ImageFormat, Size

MAX_UPLOAD = "20mb"
"""Size limit of uploads; larger files are rejected before they are stored."""
MAX_PIXELS = 40_000_000
"""Largest number of pixels; larger images are rejected before they are decoded."""
MAX_ASPECT = 8
"""Largest ratio of the sides of an image, since the network's input has a fixed shape."""
WORKING_SIDE = 768
"""Longer side, in pixels, to which larger images are first scaled down; networks see 64 to 256 pixels."""
EXAMPLE_SIDE = 256
NUM_EXAMPLES = 8


@dataclass(frozen=True)
class Photograph:
    """An input image, with its ground truth if it is a labelled example."""

    name: str
    pixels: np.ndarray
    """``[H, W, C]``: uint8 RGB, or as in `kind`."""
    truth: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    """Task -> ground truth as in `Task.decode`, without batch dimension; empty unless the image is a labelled example."""
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])
    """Custom tasks of the data set, which define the meaning of `truth`."""
    kind: ImageFormat = field(default_factory=ImageFormat)

    @property
    def rgb(self) -> np.ndarray:
        """The image rendered as ``[H, W, 3]`` uint8."""
        return rgb_of(self.pixels, self.kind)

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def read_photograph(path: Path, name: str, kind: ImageFormat) -> Photograph:
    """Decode an uploaded file, rotate it upright, and scale it down to at most `WORKING_SIDE`.

    Raises:
        DataError: If the file is not an image, damaged, too large or too elongated. The message, which calls the file ``name``, is
            suitable for visitors.
    """
    if kind.is_photograph:  # by its header, before it is decoded
        _check_size(name, *_claimed_size(path, name))
    pixels = read_image(path, kind, name, most_pixels=MAX_PIXELS)
    height, width = pixels.shape[:2]
    _check_size(name, width, height)
    return Photograph(name, resized(pixels, _working_size(height, width)), kind=kind)


def _working_size(height: int, width: int) -> Size:
    return fitted_size(height, width, min(WORKING_SIDE, max(height, width)))


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(name, f" ({width} × {height})")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise DataError(f"{name}: the image is too elongated ({width} × {height} pixels); crop it")


def _claimed_size(path: Path, name: str) -> tuple[int, int]:
    """Width and height according to the header of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about large images, for which we have our own limit
        try:
            with Image.open(path, formats=PICTURE_FORMATS) as header:
                return header.size
        except Image.DecompressionBombError:
            raise _too_large(name) from None
        except (OSError, ValueError, SyntaxError):
            raise DataError(f"{name}: the file is not a readable image; use a JPEG, PNG or WebP file") from None


def _too_large(name: str, size: str = "") -> DataError:
    most = MAX_PIXELS // 1_000_000
    return DataError(f"{name}: the image is too large{size}; scale it down to at most {most} million pixels")


def example_photographs(run: Path, num: int = NUM_EXAMPLES) -> tuple[Photograph, ...]:
    """Images from a run's test set, spaced evenly, with their labels, at their original resolution (up to `WORKING_SIDE`).

    Raises:
        MgmError: If there is no such run, or its data do not exist on this machine or have changed their meaning.
    """
    folder = RunFolder(run)
    data, seen = open_run_data(folder), folder.experiment().data.size
    source, test = data.source, data.splits.test
    if not len(test):
        raise DataError(f"{data.info.name} no longer has any of the run's test images")
    own = tasks_for(source.info, tuple(source.info.own_tasks)) if source.info.own_tasks else {}
    examples: list[Photograph] = []
    for index in test[spread_evenly(len(test), num)].tolist():
        shape = source.shape(index)
        size = _working_size(*shape) if shape else fitted_size(*seen, EXAMPLE_SIDE)
        sample = source.read(index, source.store.frame if isinstance(source, StoreSource) else size)
        truth = {name: torch.from_numpy(target) for name, target in sample.targets.items()}
        truth = {name: value.long() if value.dtype == torch.uint8 else value for name, value in truth.items()}
        pixels = np.ascontiguousarray(sample.image.transpose(1, 2, 0))
        examples.append(Photograph(sample.name, pixels, truth, own, source.info.image))
    return tuple(examples)
