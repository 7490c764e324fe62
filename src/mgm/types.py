"""The few data structures that pass between the parts of the package."""

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
"""Feature maps of an encoder from fine to coarse, ``[B, C_i, H_i, W_i]`` each; the last is the paper's ``E(x)``."""

Predictions = dict[str, "Tensor"]
"""Task name -> network output ``[B, C, H, W]``."""

Targets = dict[str, "Tensor"]
"""Task name -> target: class indices int64 ``[B, H, W]``, every other task float32 ``[B, C, H, W]``."""

IGNORE_INDEX = 255
"""Label of a pixel without a class. In every other task a pixel without a value is NaN."""

Size = tuple[int, int]
"""Height and width in pixels."""

SizeSetting = int | str | tuple[int, int]
"""A size as users give it: one number is the side of a square, ``96x128`` or a pair are height and width."""

Aspect = Literal["squeeze", "letterbox", "crop"]
"""How a picture of another shape gets into a network's size: squeezed; scaled to fit, and the rest filled; or its middle alone."""
ASPECTS: dict[Aspect, str] = {
    "squeeze": "squeezed into it",
    "letterbox": "scaled to fit into its middle, edges drawn out to fill the rest",
    "crop": "cut to their middle",
}
"""How pictures of another shape get into the size of the images, in words."""


def parse_size(value: SizeSetting) -> Size:
    """Height and width of a size as users give it.

    Raises:
        ConfigError: If it is none.
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
    """A size as it stands in settings, files and messages: ``64`` for a square, else ``96x128``, height and width."""
    height, width = parse_size(size)
    return height if height == width else f"{height}x{width}"


@dataclass(frozen=True)
class Frame:
    """The size of the images that a network sees, and how pictures of another shape get into it."""

    size: Size
    aspect: Aspect = "squeeze"

    @classmethod
    def of(cls, value: Frame | SizeSetting) -> Frame:
        """A frame as it is; a size is one that pictures are squeezed into."""
        return value if isinstance(value, Frame) else cls(parse_size(value))

    def __str__(self) -> str:
        """``64``, ``96x128``, ``96x128-letterbox``."""
        return str(plain_size(self.size)) + ("" if self.aspect == "squeeze" else f"-{self.aspect}")

    @property
    def in_words(self) -> str:
        """``64 px``, ``96x128 px``, ``96x128 px (letterbox)``."""
        return f"{plain_size(self.size)} px" + ("" if self.aspect == "squeeze" else f" ({self.aspect})")


FrameLike = Frame | SizeSetting
"""What `Frame.of` takes."""


def is_mapping(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether a value from a file is a mapping; its content is for the caller to check."""
    return isinstance(value, dict)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a value from a file or of a setting is a list or tuple."""
    return isinstance(value, list | tuple)


MAX_CHANNELS = 16
"""Channels that images can have at most."""

SHOWN_SHARES = (0.02, 0.98)
"""Shares of an image's numbers below what pictures of 16-bit images show as black and as white."""


@dataclass(frozen=True)
class ImageFormat:
    """What the channels of images are, and which of their numbers networks see as -1 and 1. Default: RGB of 8 bits.

    Images are kept as levels: whole numbers from 0 to the largest of `dtype`, on which `value_range` is mapped.
    """

    channels: int = 3
    """1 to `MAX_CHANNELS`; three count as red, green and blue."""
    dtype: Literal["uint8", "uint16"] = "uint8"
    """Type of the levels: 16 bits where the files have more than 8."""
    value_range: tuple[tuple[float, float], ...] = ()
    """Numbers of the files that become the lowest and the highest level, one pair for all channels or one for each; empty: by the
    type of each file, 0 to 255, 0 to 65535, or 0 to 1 for fractions."""
    show: tuple[int, ...] = ()
    """Channels that pictures show as red, green and blue (two: blue is black; one: as grey); empty: the first three there are."""

    def __post_init__(self) -> None:
        """Raise `ValueError`, with words for a user, where it describes no images."""
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
        """Whether images are RGB of 8 bits, as cameras take them."""
        return self.channels == 3 and self.dtype == "uint8" and not self.value_range

    @property
    def is_stretched(self) -> bool:
        """Whether pictures stretch each image, all its channels alike, between its `SHOWN_SHARES`: sensors fill few of 16 bits."""
        return self.dtype == "uint16"

    @property
    def shown(self) -> tuple[int, int, int]:
        """The channels that are shown as red, green and blue; -1 for black."""
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
    """What a data set offers, apart from the samples themselves."""

    name: str
    tasks: tuple[str, ...]
    """Names of the tasks that at least some samples have labels for."""
    classes: tuple[str, ...] = ()
    """Names of the semantic classes in index order; empty without segmentation."""
    scenes: tuple[str, ...] = ()
    """Names of the scene classes (or, multi-hot, of the objects) in index order; empty without weak labels."""
    multi_hot: bool = False
    """Whether an image may carry several weak labels at once."""
    notes: dict[str, str] = field(default_factory=dict[str, str])
    """What a reader of results has to know, e.g. how the normals were derived."""
    colours: tuple[tuple[int, int, int], ...] = ()
    """RGB of the semantic classes in pictures, 0 to 255, in index order; empty: the data set has no colours of its own."""
    own_tasks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Tasks that the data set defines itself -> their definitions as plain values, see `mgm.tasks.own.define`."""
    image: ImageFormat = field(default_factory=ImageFormat)
    """What the images hold."""


@dataclass(frozen=True)
class Sample:
    """One image with its labels, as NumPy arrays; what a data source yields and a store keeps.

    A missing label is an invalid one: ``semantic`` all ``IGNORE_INDEX``, other tasks all NaN, scene all NaN. So a sample
    always has every task that its data set offers.
    """

    image: np.ndarray
    """``[C, H, W]``, levels of `DatasetInfo.image`: uint8 RGB, or other channels and types."""
    targets: dict[str, np.ndarray]
    """``semantic`` uint8 ``[H, W]``; every other task float32 ``[C, H, W]``, NaN where invalid."""
    scene: np.ndarray
    """``[K]`` float32: one-hot or multi-hot; NaN when unknown."""
    name: str = ""
    """Where the sample comes from, for messages and pictures."""


@dataclass(frozen=True)
class Batch:
    """Samples stacked and normalised for a network."""

    images: Tensor
    """``[B, C, H, W]`` float32 in (-1, 1), RGB unless the data have other channels."""
    targets: Targets
    """Per task, see `Targets`; empty for images without pixel labels."""
    scene: Tensor
    """``[B, K]`` float32 one-hot or multi-hot; a row of NaN is a missing label."""
    shares: dict[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    """Of a part of a larger batch: task (or ``scene``) -> how much its mean counts in the mean over the parts."""
    unmixed: Tensor | None = None
    """The images before parts of others were pasted into them; None: they are whole."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def real_images(self) -> Tensor:
        """Images as cameras take them, which a discriminator learns to know: without what was pasted into them."""
        return self.images if self.unmixed is None else self.unmixed

    def weigh(self, name: str, loss: Tensor) -> Tensor:
        """A loss that is a mean over labels of a task (or ``scene``), such that its mean over parts is that of the whole."""
        return self.shares[name] * loss if name in self.shares else loss

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        return Batch(
            self.images.to(device),
            {task: target.to(device) for task, target in self.targets.items()},
            self.scene.to(device),
            unmixed=None if self.unmixed is None else self.unmixed.to(device),
        )

    def every(self, stride: int, offset: int) -> Batch:
        """The batch with the labels of every ``stride``-th pixel along each side, from the pixel ``offset`` on."""
        places = slice(offset, None, stride)
        return replace(self, targets={task: target[..., places, places] for task, target in self.targets.items()})
