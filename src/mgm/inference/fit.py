"""Conversion of images of any size to the input size of a network, and of the predictions back.

A `Fit` does both: `windows` cuts and resizes an image to windows of the network's size, `restore` merges the predictions for
these windows. `FITS` is the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from mgm.data.resizing import box_in, planes, resize_image, resize_levels
from mgm.errors import ConfigError, choose
from mgm.types import Aspect, Frame, Size, SizeSetting, parse_size, plain_size

MAX_WINDOWS = 4096
"""Largest number of windows per image; more would take hours on a laptop, and gigabytes to merge."""


class Fit(ABC):
    """How images of any size are shown to a network of fixed input size. Subclasses are final and stateless."""

    description: ClassVar[str]

    def count(self, size: Size, window: SizeSetting) -> int:
        """Number of windows for an image of this size.

        Raises:
            ConfigError: If it exceeds `MAX_WINDOWS`.
        """
        return 1

    @abstractmethod
    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """Cut and resize an image.

        Args:
            pixels: ``[H, W, C]``, uint8 or uint16.
            window: Input size of the network.

        Returns:
            ``[N, C, *window]`` of the same type.

        Raises:
            ConfigError: If there were more than `MAX_WINDOWS`.
        """

    @abstractmethod
    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """Merge the predictions for the windows of one image.

        Args:
            predictions: ``[N, C, *window]``, in the order of `windows`.
            size: Size of the image.

        Returns:
            ``[1, C, h, w]``: exactly the area of the image, without padding, at the network's resolution.
        """


@final
class Resize(Fit):
    """The whole image, squeezed to the network's size."""

    description: ClassVar[str] = "squeeze the image to the network's size"

    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """One window."""
        return _stacked([resize_image(pixels, window)])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """The predictions unchanged; resizing them to the image later restores the aspect ratio."""
        return predictions


@final
class Pad(Fit):
    """The image scaled to fit into the network's size and padded by replicating its edges (``--aspect letterbox``)."""

    description: ClassVar[str] = "keep the aspect ratio: scale the image to fit and pad by replicating its edges"

    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """One window with the image in its centre."""
        return _stacked([resize_image(pixels, Frame(parse_size(window), "letterbox"))])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """The predictions without the padding."""
        top, left, height, width = box_in(size, Frame(_window(predictions), "letterbox"))
        return predictions[:, :, top : top + height, left : left + width]


@final
@dataclass(frozen=True)
class Tile(Fit):
    """Sliding windows that overlap by at least half, with blended predictions.

    Windows are spaced evenly from edge to edge. Where several cover a pixel, their predictions are averaged with weights that
    fall linearly from the centre of a window to its edge, so that no seams are visible. A prediction that is the same in all
    windows is preserved.
    """

    description: ClassVar[str] = "keep the aspect ratio: overlapping windows, their predictions blended"
    detail: float = 1.0
    """Size of the resized image in windows, along the side with fewer of them: at 1 a window shows that side completely, as in
    training. 0: the image is not resized."""

    def count(self, size: Size, window: SizeSetting) -> int:
        """Number of rows times columns of windows."""
        window = parse_size(window)
        rows, columns = map(_windows_along, self._canvas(size, window), window)
        if rows * columns > MAX_WINDOWS:
            raise ConfigError(
                f"an image of {size[1]} x {size[0]} pixels needs {rows * columns} windows of {plain_size(window)} pixels, "
                f"more than {MAX_WINDOWS}; lower --detail (1: one window along one side), or use --fit resize"
            )
        return rows * columns

    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """Windows row by row."""
        size = (pixels.shape[0], pixels.shape[1])
        self.count(size, window)
        height, width = window = parse_size(window)
        canvas = planes(resize_levels(pixels, *self._canvas(size, window)))
        places = _places((canvas.shape[1], canvas.shape[2]), window)
        return _stacked([canvas[:, top : top + height, left : left + width] for top, left in places])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """Predictions blended where windows overlap."""
        height, width = window = _window(predictions)
        canvas = self._canvas(size, window)
        places = _places(canvas, window)
        down, across = (
            1 - (torch.arange(side, device=predictions.device) - (side - 1) / 2).abs() / ((side + 1) / 2)
            for side in window
        )
        weight = down[:, None] * across
        total = weight.new_zeros(canvas)
        for top, left in places:
            total[top : top + height, left : left + width] += weight
        blended = predictions.new_zeros(1, predictions.shape[1], *canvas)
        for values, (top, left) in zip(predictions, places, strict=True):
            # normalised weights rather than a division at the end: where one window covers a pixel, its weight is exactly 1
            share = weight / total[top : top + height, left : left + width]
            blended[0, :, top : top + height, left : left + width] += values * share
        return blended

    def _canvas(self, size: Size, window: Size) -> Size:
        """Size to which the image is resized before it is cut into windows; no side is shorter than a window's."""
        pairs = list(zip(size, window, strict=True))
        scale = max(self.detail * side / length for length, side in pairs) if self.detail else 1.0
        scale = max(scale, *(side / length for length, side in pairs))
        height, width = (max(side, round(length * scale)) for length, side in pairs)
        return height, width


def _windows_along(length: int, side: int) -> int:
    """Smallest number of windows that overlap by half or more."""
    return ceil((length - side) / (side / 2)) + 1


def _places(canvas: Size, window: Size) -> list[tuple[int, int]]:
    """Top and left of each window that covers the canvas, row by row."""
    rows, columns = (
        np.linspace(0, length - side, _windows_along(length, side)).round().astype(int).tolist()
        for length, side in zip(canvas, window, strict=True)
    )
    return [(top, left) for top in rows for left in columns]


def _window(predictions: Tensor) -> Size:
    return predictions.shape[-2], predictions.shape[-1]


def _stacked(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images))


FITS: dict[str, type[Fit]] = {"resize": Resize, "pad": Pad, "tile": Tile}
"""Name -> class."""
AS_TRAINED = "auto"
"""Name of the fit that matches `mgm.config.DataConfig.aspect` in training."""
FIT_OF_ASPECT: dict[Aspect, str] = {"squeeze": "resize", "letterbox": "pad", "crop": "tile"}
"""Aspect setting in training -> the fit that shows images in the same way, without cutting anything off."""


def make_fit(name: str, detail: float = 1.0, aspect: Aspect = "squeeze") -> Fit:
    """Build a fit by its name.

    Args:
        name: A key of `FITS`, or ``auto`` for the one that `FIT_OF_ASPECT` gives for ``aspect``.
        detail: See `Tile`.
        aspect: Aspect setting of the training, used by ``auto``.

    Raises:
        ConfigError: If there is no such fit, ``detail`` is neither 0 nor at least 1, or it is set for another fit than
            ``tile``.
    """
    name = FIT_OF_ASPECT[aspect] if name == AS_TRAINED else name
    kind = choose("fit", name, FITS)
    if kind is Tile:
        if detail != 0 and not 1 <= detail < float("inf"):
            raise ConfigError(f"detail is {detail:g}; it must be at least 1, or 0 for the original resolution")
        return Tile(detail)
    if detail != 1:
        raise ConfigError(f"detail applies to the fit tile only; use --fit tile, or omit --detail with {name!r}")
    return kind()
