"""The contract of a task: one object that owns everything that differs between tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mgm.errors import choose

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A training loss: prediction, what it should be, and the mask of valid pixels, to a scalar that is a mean over the valid pixels of
all processes, and 0 with a graph without any."""


@dataclass(frozen=True)
class MetricInfo:
    """How to read a metric."""

    title: str
    higher_is_better: bool
    unit: str = ""

    @property
    def heading(self) -> str:
        """Title with unit and direction: ``absolute error [m] ↓``."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {'↑' if self.higher_is_better else '↓'}"


@dataclass(frozen=True)
class ClassScore:
    """How well a class is found, and how much of it there is."""

    iou: float
    """Intersection over union of its pixels, in [0, 1]."""
    pixels: float
    """Its share of the labelled pixels, in [0, 1]; 0: predicted, but never there."""


class TaskMetrics(ABC):
    """Streaming scores of one task: ``update`` per batch, ``compute`` at the end.

    The result over batches equals the result over all data at once, and in several processes over all of theirs.
    """

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in a batch of predictions (as decoders put them out) and targets; invalid pixels count for nothing."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metric name -> value; NaN where no valid pixel was seen. In several processes all of them have to call it."""

    def classes(self) -> dict[str, ClassScore]:
        """Class -> how well it is found, the largest first; without those that neither targets nor predictions have.

        Empty for tasks without classes. In several processes all of them have to call it.
        """
        return {}


class Task(ABC):
    """A dense prediction task. Subclasses are final; `mgm.tasks.TASKS` is the registry.

    Spaces: a *prediction* is what a decoder puts out, ``[B, channels, H, W]`` float. A *target* is what a data set
    stores (see `mgm.types.Targets`). A *value* is a prediction turned into target space by `decode`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    abbreviation: ClassVar[str] = ""
    """In names of models that learn this task alone (``MGM-SS``); empty: the name."""
    unit: ClassVar[str] = ""
    value_format: ClassVar[str] = "float32"
    """Shape, type and meaning of a value of one image, for the model card."""
    hub_tag: ClassVar[str] = "image-to-image"
    """What the Hugging Face Hub calls the task."""
    caveat: ClassVar[str] = ""
    """What users of a model have to know about its values, a sentence for the model card."""
    uses_classes: ClassVar[bool] = False
    """Whether values are indices of the data set's classes, so that models and data with other classes do not fit."""
    metrics_info: ClassVar[dict[str, MetricInfo]]
    """Metric name -> how to read it, in the order of tables."""
    primary: ClassVar[str]
    """The metric that stands for the task."""
    losses: ClassVar[Mapping[str, Loss]]
    """Name -> training loss; the first one is the paper's, and the default."""
    calibratable: ClassVar[bool] = False
    """Whether scale and shift of predictions (in target space, one channel) may be fitted: what a camera can change."""

    def __init__(self, classes: Sequence[str] = (), loss: str = "") -> None:
        """A task over some classes, trained by one of its `losses`; empty: the first.

        Raises:
            ConfigError: If there is no such loss; the message lists the choices.
        """
        self.classes = tuple(classes)
        self.loss_name = loss or next(iter(self.losses))
        self._loss = choose(f"loss of {self.name}", self.loss_name, dict(self.losses))

    @property
    @abstractmethod
    def channels(self) -> int:
        """Number of channels of a prediction."""

    @abstractmethod
    def valid(self, target: Tensor) -> Tensor:
        """``[B, H, W]`` bool: pixels that have a label."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar training loss, the mean over the valid pixels of all processes; 0 (with a graph) if there is none."""

    @abstractmethod
    def divergence(self, prediction: Tensor, estimate: Tensor) -> Tensor:
        """Scalar ``-log P(estimate | prediction)`` up to a constant, averaged over pixels, differentiable in both.

        Both arguments are predictions. Used by the explicit E- and M-step (paper eq. 4, 5).
        """

    @abstractmethod
    def refinement_input(self, prediction: Tensor) -> Tensor:
        """``[B, channels, H, W]``: the form in which the refinement network sees a prediction."""

    @abstractmethod
    def decode(self, prediction: Tensor) -> Tensor:
        """Prediction -> value in target space (class index, metres, unit vector, ...)."""

    @abstractmethod
    def resize(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """A prediction at another resolution, interpolated as suits the task."""

    def decode_at(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """Values at another resolution: `resize`, then `decode`."""
        return self.decode(self.resize(prediction, size))

    @abstractmethod
    def confidence(self, prediction: Tensor, mirrored: Tensor) -> Tensor:
        """How sure a prediction is of itself, pixel by pixel; no promise about how often it is right.

        Args:
            prediction: ``[B, C, H, W]``, what is shown.
            mirrored: ``[B, C, H, W]``, the prediction for the left-right mirrored image, mirrored back (see `mirror`).

        Returns:
            ``[B, H, W]`` float in [0, 1]: 1 is sure.
        """

    def confidence_at(self, prediction: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
        """`confidence` of the values of `decode_at`, at that resolution."""
        return self.confidence(self.resize(prediction, size), self.resize(mirrored, size))

    @abstractmethod
    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """A fresh set of streaming scores."""

    @abstractmethod
    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """``[channels]``: the best constant prediction for the given targets (mode, median or mean)."""

    @abstractmethod
    def flip(self, target: Tensor) -> Tensor:
        """The target of the left-right mirrored image; vectors change sign, pixels change place."""

    @abstractmethod
    def mirror(self, prediction: Tensor) -> Tensor:
        """The prediction for the left-right mirrored image: `flip` in the space of predictions."""

    @abstractmethod
    def zoom(self, target: Tensor, factor: Tensor) -> Tensor:
        """Values (not places) after magnifying the image by ``factor`` ``[B]``: depth is divided by it."""

    @abstractmethod
    def missing(self, batch: int, height: int, width: int) -> Tensor:
        """A target without a single valid pixel."""

    @abstractmethod
    def colour(self, value: Tensor) -> Tensor:
        """``[B, 3, H, W]`` uint8 picture of values; invalid pixels are dark grey."""

    @abstractmethod
    def error(self, value: Tensor, target: Tensor) -> Tensor:
        """``[B, H, W]`` float in [0, 1]: 0 right, 1 as wrong as the scale shows; NaN where invalid."""
