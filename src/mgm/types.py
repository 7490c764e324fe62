"""Data structures shared by all packages: sizes, data-set descriptions, samples, batches."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from mgm.errors import ConfigError

if TYPE_CHECKING:  # NumPy and torch cost a second to import; `mgm --help` needs neither
    import numpy as np
    import torch
    from torch import Tensor

Features = list["Tensor"]
"""Feature maps of an encoder, ``[B, C_i, H_i, W_i]``, from fine to coarse; the last is the paper's ``E(x)``."""

Predictions = dict[str, "Tensor"]
"""Task name -> network output ``[B, C, H, W]``."""

Targets = dict[str, "Tensor"]
"""Task name -> target: int64 ``[B, H, W]`` for tasks with class indices, float32 ``[B, C, H, W]`` for all others."""

IGNORE_INDEX = 255
"""Class index of an unlabelled pixel. In tasks without classes, an unlabelled pixel is NaN."""

Size = tuple[int, int]
"""Height and width in pixels."""

SizeSetting = int | str | tuple[int, int]
"""A size as users write it: ``64`` (a square), or height and width as ``"96x128"`` or ``(96, 128)``."""

Aspect = Literal["squeeze", "letterbox", "crop"]
"""How an image of another shape is fitted to the network's input size; see `ASPECTS`."""
ASPECTS: dict[Aspect, str] = {
    "squeeze": "squeezed to that size",
    "letterbox": "scaled to fit, with replicated borders",
    "crop": "cropped to the centre",
}
"""`Aspect` -> what is done to images of another shape, in words."""


def parse_size(value: SizeSetting) -> Size:
    """Parse a size as users write it to height and width in pixels.

    Raises:
        ConfigError: If it is not a valid size.
    """
    text = "x".join(map(str, value)) if is_sequence(value) else str(value)
    found = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text.strip().lower(), re.ASCII)
    if not found:
        raise ConfigError(f"image_size is {text!r}; it must be one number (a square) or HEIGHTxWIDTH, such as 96x128")
    height, width = int(found[1]), int(found[2] or found[1])
    if not height or not width:
        raise ConfigError(f"image_size is {text}; it must be above 0")
    return height, width


def plain_size(size: SizeSetting) -> int | str:
    """The canonical form of a size in settings, files and messages: ``64`` for a square, otherwise ``96x128`` (HxW)."""
    height, width = parse_size(size)
    return height if height == width else f"{height}x{width}"


@dataclass(frozen=True)
class Frame:
    """Input size of a network, and how images of another shape are fitted to it."""

    size: Size
    aspect: Aspect = "squeeze"

    @classmethod
    def of(cls, value: Frame | SizeSetting) -> Frame:
        """Convert a size to a frame with the aspect ``squeeze``; a frame is returned unchanged."""
        return value if isinstance(value, Frame) else cls(parse_size(value))

    def __str__(self) -> str:
        """``64``, ``96x128``, ``96x128-letterbox``."""
        return str(plain_size(self.size)) + ("" if self.aspect == "squeeze" else f"-{self.aspect}")

    @property
    def in_words(self) -> str:
        """``64 px``, ``96x128 px``, ``96x128 px (letterbox)``."""
        return f"{plain_size(self.size)} px" + ("" if self.aspect == "squeeze" else f" ({self.aspect})")


FrameLike = Frame | SizeSetting
"""Argument of `Frame.of`."""


def is_mapping(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether a value read from a file is a mapping; keys and values are not checked."""
    return isinstance(value, dict)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a value read from a file or given as a setting is a list or tuple."""
    return isinstance(value, list | tuple)


MAX_CHANNELS = 16
"""Maximum number of channels of an image."""

SHOWN_SHARES = (0.02, 0.98)
"""Quantiles of a 16-bit image's values that are displayed as black and as white."""


@dataclass(frozen=True)
class ImageFormat:
    """Channels, data type and value range of a data set's images. Default: 8-bit RGB.

    Images are stored as integers from 0 to the maximum of `dtype`, onto which `value_range` is mapped linearly; networks get
    them scaled to -1 .. 1.
    """

    channels: int = 3
    """Number of channels, 1 to `MAX_CHANNELS`; three channels are taken as red, green and blue."""
    dtype: Literal["uint8", "uint16"] = "uint8"
    """Data type of stored images: uint16 if the files have more than 8 bits."""
    value_range: tuple[tuple[float, float], ...] = ()
    """File values that become 0 and the maximum of `dtype`: one pair for all channels, or one per channel. Empty: the range of each
    file's data type: 0 to 255, 0 to 65535, or 0 to 1 for floating point."""
    show: tuple[int, ...] = ()
    """Channels displayed as red, green and blue; with two, blue is black; one is displayed as grey; empty: the first three."""

    def __post_init__(self) -> None:
        """Check the fields; raises `ValueError` with a message for users."""
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ValueError(f"channels is {self.channels}; it must be 1 to {MAX_CHANNELS}")
        if not all(low < high and isfinite(high - low) for low, high in self.value_range):
            raise ValueError("range must be a lower and a higher number, such as [0, 4095]")
        if len(self.value_range) not in (0, 1, self.channels):
            raise ValueError(
                f"range has {len(self.value_range)} pairs for {self.channels} channels; give one for all, or one for each"
            )
        if len(self.show) > 3 or not all(0 <= channel < self.channels for channel in self.show):
            raise ValueError(f"show must be up to three channels from 0 to {self.channels - 1}, such as [2, 1, 0]")

    @property
    def is_photograph(self) -> bool:
        """Whether images are ordinary 8-bit RGB."""
        return self.channels == 3 and self.dtype == "uint8" and not self.value_range

    @property
    def is_stretched(self) -> bool:
        """Whether images are displayed with their contrast stretched (`SHOWN_SHARES`), since sensors seldom use all 16 bits."""
        return self.dtype == "uint16"

    @property
    def shown(self) -> tuple[int, int, int]:
        """Indices of the channels displayed as red, green and blue; -1: black."""
        first, *others = self.show or tuple(range(min(self.channels, 3)))
        if not others:
            return first, first, first
        return first, others[0], others[1] if len(others) > 1 else -1

    def __str__(self) -> str:
        """Channels and range in words."""
        spans = " ".join(f"{low:g} to {high:g}," for low, high in self.value_range).rstrip(",")
        return f"{self.channels} channel{'s' * (self.channels > 1)} of numbers {spans or 'in the range of their type'}"


@dataclass(frozen=True)
class DatasetInfo:
    """Description of a data set: its tasks, classes, scenes and image format."""

    name: str
    tasks: tuple[str, ...]
    """Names of the tasks that at least some samples have labels for."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order; empty without segmentation."""
    scenes: tuple[str, ...] = ()
    """Names of the scene classes (if ``multi_hot``, of the objects) in index order; empty without weak labels."""
    multi_hot: bool = False
    """Whether an image may have several weak labels."""
    notes: dict[str, str] = field(default_factory=dict[str, str])
    """Facts that matter for reading results, e.g. how the normals were derived."""
    colours: tuple[tuple[int, int, int], ...] = ()
    """Display colours of the semantic classes, RGB in 0 .. 255, in index order; empty: none defined."""
    own_tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Name of a task that the data set itself defines -> its definition as plain values, see `mgm.tasks.own.define`."""
    image: ImageFormat = field(default_factory=ImageFormat)
    """Format of the images."""


@dataclass(frozen=True)
class Sample:
    """One image with its labels, as NumPy arrays; the item of a data source and of a store.

    A sample always has every task of its data set. Missing labels are invalid values: all ``IGNORE_INDEX`` in tasks with
    classes, all NaN in others, scene all NaN.
    """

    image: np.ndarray
    """``[C, H, W]`` in the format `DatasetInfo.image`; uint8 RGB by default."""
    targets: dict[str, np.ndarray]
    """Tasks with classes uint8 ``[H, W]``, `IGNORE_INDEX` where missing; all others float32 ``[C, H, W]``, NaN where missing."""
    scene: np.ndarray
    """``[K]`` float32: one-hot or multi-hot; NaN if unknown."""
    name: str = ""
    """Name of the sample in messages and figures, such as its file."""


@dataclass(frozen=True)
class Batch:
    """A batch of samples, normalised for a network."""

    images: Tensor
    """``[B, C, H, W]`` float32 in (-1, 1), RGB unless the data have other channels."""
    targets: Targets
    """Task name -> target, see `Targets`; empty for images without pixel labels."""
    scene: Tensor
    """``[B, K]`` float32, one-hot or multi-hot; a row of NaN is a missing label."""
    shares: dict[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    """For a micro-batch: task (or ``scene``) -> factor of its mean loss, see `weigh`; empty for a whole batch."""
    unmixed: Tensor | None = None
    """The images before anything was pasted into them; None: nothing was."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def real_images(self) -> Tensor:
        """The images without anything pasted into them, as real examples for a discriminator."""
        return self.images if self.unmixed is None else self.unmixed

    def weigh(self, name: str, loss: Tensor) -> Tensor:
        """Scale a mean loss of a task (or ``scene``) so that its average over the micro-batches is the mean of the whole batch."""
        return self.shares[name] * loss if name in self.shares else loss

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device (without `shares`)."""
        return Batch(
            self.images.to(device),
            {task: target.to(device) for task, target in self.targets.items()},
            self.scene.to(device),
            unmixed=None if self.unmixed is None else self.unmixed.to(device),
        )

    def every(self, stride: int, offset: int) -> Batch:
        """The batch with its targets subsampled to every ``stride``-th pixel along each side, starting at pixel ``offset``."""
        places = slice(offset, None, stride)
        return replace(self, targets={task: target[..., places, places] for task, target in self.targets.items()})
