"""The few data structures that pass between the parts of the package."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

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


def is_mapping(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether a value from a file is a mapping; its content is for the caller to check."""
    return isinstance(value, dict)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a value from a file or of a setting is a list or tuple."""
    return isinstance(value, list | tuple)


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


@dataclass(frozen=True)
class Sample:
    """One image with its labels, as NumPy arrays; what a data source yields and a store keeps.

    A missing label is an invalid one: ``semantic`` all ``IGNORE_INDEX``, other tasks all NaN, scene all NaN. So a sample
    always has every task that its data set offers.
    """

    image: np.ndarray
    """``[3, H, W]`` uint8 RGB."""
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
    """``[B, 3, H, W]`` float32 RGB in (-1, 1)."""
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
