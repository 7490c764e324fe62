"""From a photograph of any size to what the network sees, and from its predictions back.

A way to do it is a `Fit`: `windows` cuts and scales the photograph to windows of the network's size, `restore` puts
predictions for these windows together again. `FITS` is the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from mgm.data.images import box_in, planes, resize_image, resize_levels
from mgm.errors import ConfigError, choose
from mgm.types import Aspect, Frame, Size, SizeSetting, parse_size, plain_size

MAX_WINDOWS = 4096
"""More windows than this are refused: they would take hours on a laptop, and gigabytes to put together."""


class Fit(ABC):
    """How photographs of any size go through a network of one size. Subclasses are final and hold no photograph."""

    description: ClassVar[str]

    def count(self, size: Size, window: SizeSetting) -> int:
        """How many windows a photograph of this size makes.

        Raises:
            ConfigError: If that is more than `MAX_WINDOWS`.
        """
        return 1

    @abstractmethod
    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """Cut and scale a photograph.

        Args:
            pixels: Levels ``[H, W, C]``, uint8 or uint16.
            window: Size of the network's images.

        Returns:
            ``[N, C, *window]`` of the same type.

        Raises:
            ConfigError: If there would be more than `MAX_WINDOWS`.
        """

    @abstractmethod
    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """Put predictions for the windows together.

        Args:
            predictions: ``[N, C, *window]``, in the order of `windows`.
            size: Of the photograph.

        Returns:
            ``[1, C, h, w]``: the whole photograph and nothing else, at the network's resolution.
        """


@final
class Resize(Fit):
    """The whole photograph squeezed to the network's size."""

    description: ClassVar[str] = "squeeze the photograph to the network's size"

    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """One window."""
        return _stacked([resize_image(pixels, window)])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """The predictions as they are; they get the photograph's aspect when they are enlarged."""
        return predictions


@final
class Pad(Fit):
    """The photograph scaled to fit into the network's size, and its edges drawn out to fill it (``--aspect letterbox``)."""

    description: ClassVar[str] = "keep the aspect: scale the photograph to fit and draw out its edges to fill the rest"

    def windows(self, pixels: np.ndarray, window: SizeSetting) -> Tensor:
        """One window with the photograph in its middle."""
        return _stacked([resize_image(pixels, Frame(parse_size(window), "letterbox"))])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """The part that is the photograph."""
        top, left, height, width = box_in(size, Frame(_window(predictions), "letterbox"))
        return predictions[:, :, top : top + height, left : left + width]


@final
@dataclass(frozen=True)
class Tile(Fit):
    """Windows that overlap by half, whose predictions fade into each other.

    Windows lie evenly from edge to edge. Where several cover a pixel their predictions are averaged with weights that
    fall linearly from the middle of a window to its edge, so no seam shows; a prediction that is the same in all windows
    stays what it is.
    """

    description: ClassVar[str] = "keep the aspect: overlapping windows, their predictions blended"
    detail: float = 1.0
    """Side of the photograph in sides of a window, where that is less: 1 keeps all of that side in view, as in training; 0: no
    scaling."""

    def count(self, size: Size, window: SizeSetting) -> int:
        """Rows times columns of windows."""
        window = parse_size(window)
        rows, columns = map(_windows_along, self._canvas(size, window), window)
        if rows * columns > MAX_WINDOWS:
            raise ConfigError(
                f"a photograph of {size[1]} x {size[0]} pixels makes {rows * columns} windows of {plain_size(window)} pixels, "
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
            # shares instead of a division at the end: a window that is alone counts as exactly 1
            share = weight / total[top : top + height, left : left + width]
            blended[0, :, top : top + height, left : left + width] += values * share
        return blended

    def _canvas(self, size: Size, window: Size) -> Size:
        """Size at which the photograph is cut into windows; no side is shorter than a window's."""
        pairs = list(zip(size, window, strict=True))
        scale = max(self.detail * side / length for length, side in pairs) if self.detail else 1.0
        scale = max(scale, *(side / length for length, side in pairs))
        height, width = (max(side, round(length * scale)) for length, side in pairs)
        return height, width


def _windows_along(length: int, side: int) -> int:
    """As few as overlap by half or more."""
    return ceil((length - side) / (side / 2)) + 1


def _places(canvas: Size, window: Size) -> list[tuple[int, int]]:
    """Top and left of the windows that cover a canvas, row by row."""
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
"""Name -> way to fit a photograph."""
AS_TRAINED = "auto"
"""The way that belongs to the `mgm.config.DataConfig.aspect` of the training."""
FIT_OF_ASPECT: dict[Aspect, str] = {"squeeze": "resize", "letterbox": "pad", "crop": "tile"}
"""Aspect -> the way that shows a network photographs as in its training, and yet all of each."""


def make_fit(name: str, detail: float = 1.0, aspect: Aspect = "squeeze") -> Fit:
    """A way to fit photographs, by name.

    Args:
        name: A key of `FITS`, or ``auto``: as `FIT_OF_ASPECT` says.
        detail: See `Tile`.
        aspect: Of the network's training, for ``auto``.

    Raises:
        ConfigError: If there is no such way, or the detail is neither 0 nor at least 1, or not for tiles.
    """
    name = FIT_OF_ASPECT[aspect] if name == AS_TRAINED else name
    kind = choose("fit", name, FITS)
    if kind is Tile:
        if detail != 0 and not 1 <= detail < float("inf"):
            raise ConfigError(f"detail is {detail:g}; it must be at least 1, or 0 for the photograph's own pixels")
        return Tile(detail)
    if detail != 1:
        raise ConfigError(f"detail is for tiles alone; use --fit tile, or leave it out with {name!r}")
    return kind()
