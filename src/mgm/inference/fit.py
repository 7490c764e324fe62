"""From a photograph of any size to what the network sees, and from its predictions back.

A way to do it is a `Fit`: `windows` cuts and scales the photograph to squares of the network's size, `restore` puts
predictions for these squares together again. `FITS` is the registry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import ceil
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from mgm.data.images import planes, resize_rgb
from mgm.errors import ConfigError, choose

Size = tuple[int, int]
"""Height and width in pixels."""

MAX_WINDOWS = 4096
"""More windows than this are refused: they would take hours on a laptop, and gigabytes to put together."""


class Fit(ABC):
    """How photographs of any size go through a network of one size. Subclasses are final and hold no photograph."""

    description: ClassVar[str]

    def count(self, size: Size, side: int) -> int:
        """How many windows a photograph of this size makes.

        Raises:
            ConfigError: If that is more than `MAX_WINDOWS`.
        """
        return 1

    @abstractmethod
    def windows(self, pixels: np.ndarray, side: int) -> Tensor:
        """Cut and scale a photograph.

        Args:
            pixels: Levels ``[H, W, C]``, uint8 or uint16.
            side: Side of the network's images in pixels.

        Returns:
            ``[N, C, side, side]`` of the same type.

        Raises:
            ConfigError: If there would be more than `MAX_WINDOWS`.
        """

    @abstractmethod
    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """Put predictions for the windows together.

        Args:
            predictions: ``[N, C, side, side]``, in the order of `windows`.
            size: Of the photograph.

        Returns:
            ``[1, C, h, w]``: the whole photograph and nothing else, at the network's resolution.
        """


@final
class Resize(Fit):
    """The whole photograph squeezed to a square, as training images are."""

    description: ClassVar[str] = "squeeze the photograph to a square, as training images were"

    def windows(self, pixels: np.ndarray, side: int) -> Tensor:
        """One window."""
        return _stacked([resize_rgb(pixels, side, side)])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """The predictions as they are; they get the photograph's aspect when they are enlarged."""
        return predictions


@final
class Pad(Fit):
    """The photograph scaled to fit into the square, and its edges drawn out to fill it."""

    description: ClassVar[str] = "keep the aspect: fit the longer side and draw out the edges to fill the square"

    def windows(self, pixels: np.ndarray, side: int) -> Tensor:
        """One window with the photograph in its middle."""
        top, left, height, width = self._box((pixels.shape[0], pixels.shape[1]), side)
        rows, columns = (top, side - height - top), (left, side - width - left)
        return _stacked([np.pad(resize_rgb(pixels, height, width), (rows, columns, (0, 0)), mode="edge")])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """The part that is the photograph."""
        top, left, height, width = self._box(size, predictions.shape[-1])
        return predictions[:, :, top : top + height, left : left + width]

    @staticmethod
    def _box(size: Size, side: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of the photograph inside the square."""
        height, width = (max(1, round(side * length / max(size))) for length in size)
        return (side - height) // 2, (side - width) // 2, height, width


@final
@dataclass(frozen=True)
class Tile(Fit):
    """Square windows that overlap by half, whose predictions fade into each other.

    Windows lie evenly from edge to edge. Where several cover a pixel their predictions are averaged with weights that
    fall linearly from the middle of a window to its edge, so no seam shows; a prediction that is the same in all windows
    stays what it is.
    """

    description: ClassVar[str] = "keep the aspect: overlapping windows, their predictions blended"
    detail: float = 1.0
    """Shorter side of the photograph in sides of a window: 1 keeps all of it in view, as in training; 0: no scaling."""

    def count(self, size: Size, side: int) -> int:
        """Rows times columns of windows."""
        rows, columns = (_windows_along(length, side) for length in self._canvas(size, side))
        if rows * columns > MAX_WINDOWS:
            raise ConfigError(
                f"a photograph of {size[1]} x {size[0]} pixels makes {rows * columns} windows of {side} pixels, "
                f"more than {MAX_WINDOWS}; lower --detail (1: the shorter side is one window), or use --fit resize"
            )
        return rows * columns

    def windows(self, pixels: np.ndarray, side: int) -> Tensor:
        """Windows row by row."""
        size = (pixels.shape[0], pixels.shape[1])
        self.count(size, side)
        canvas = resize_rgb(pixels, *self._canvas(size, side))
        places = _places((canvas.shape[0], canvas.shape[1]), side)
        return _stacked([canvas[top : top + side, left : left + side] for top, left in places])

    def restore(self, predictions: Tensor, size: Size) -> Tensor:
        """Predictions blended where windows overlap."""
        side = predictions.shape[-1]
        canvas = self._canvas(size, side)
        places = _places(canvas, side)
        ramp = 1 - (torch.arange(side, device=predictions.device) - (side - 1) / 2).abs() / ((side + 1) / 2)
        weight = ramp[:, None] * ramp
        total = weight.new_zeros(canvas)
        for top, left in places:
            total[top : top + side, left : left + side] += weight
        blended = predictions.new_zeros(1, predictions.shape[1], *canvas)
        for window, (top, left) in zip(predictions, places, strict=True):
            # shares instead of a division at the end: a window that is alone counts as exactly 1
            share = weight / total[top : top + side, left : left + side]
            blended[0, :, top : top + side, left : left + side] += window * share
        return blended

    def _canvas(self, size: Size, side: int) -> Size:
        """Size at which the photograph is cut into windows; no side is shorter than a window's."""
        scale = self.detail * side / min(size) if self.detail else 1.0
        scale = max(scale, side / min(size))
        height, width = (max(side, round(length * scale)) for length in size)
        return height, width


def _windows_along(length: int, side: int) -> int:
    """As few as overlap by half or more."""
    return ceil((length - side) / (side / 2)) + 1


def _places(canvas: Size, side: int) -> list[tuple[int, int]]:
    """Top and left of the windows that cover a canvas, row by row."""
    rows, columns = (
        np.linspace(0, length - side, _windows_along(length, side)).round().astype(int).tolist() for length in canvas
    )
    return [(top, left) for top in rows for left in columns]


def _stacked(pictures: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack([planes(picture) for picture in pictures]))


FITS: dict[str, type[Fit]] = {"resize": Resize, "pad": Pad, "tile": Tile}
"""Name -> way to fit a photograph."""


def make_fit(name: str, detail: float = 1.0) -> Fit:
    """A way to fit photographs, by name.

    Args:
        name: A key of `FITS`.
        detail: See `Tile`.

    Raises:
        ConfigError: If there is no such way, or the detail is neither 0 nor at least 1, or not for tiles.
    """
    kind = choose("fit", name, FITS)
    if kind is Tile:
        if detail != 0 and not 1 <= detail < float("inf"):
            raise ConfigError(f"detail is {detail:g}; it must be at least 1, or 0 for the photograph's own pixels")
        return Tile(detail)
    if detail != 1:
        raise ConfigError(f"detail is for tiles alone; use --fit tile, or leave it out with {name!r}")
    return kind()
