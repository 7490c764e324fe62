"""The contract of a task, the one object that owns all that differs between tasks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from mgm.errors import DataError, choose
from mgm.functional.resizing import resize_bilinear
from mgm.tasks.files import FileSettings
from mgm.tasks.legend import ColourScale, Legend
from mgm.tasks.metrics import StreamingSums
from mgm.tasks.pictures import colours_of
from mgm.types import IGNORE_INDEX, FrameLike

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A training loss of prediction, encoded target and mask of valid pixels: a scalar, the mean over the valid pixels of all
processes. Without any it is 0 and has a graph."""

Span = tuple[float, float]
"""Values at the two ends of a colour scale."""

ERROR_COLOURS = "YlOrRd"
"""Matplotlib colour map of error maps, from right (bright) to wrong (dark)."""


@dataclass(frozen=True)
class MetricInfo:
    """How to read a metric."""

    title: str
    higher_is_better: bool
    unit: str = ""
    decimals: int = 3
    """Digits after the point."""

    def text(self, value: float) -> str:
        """A value with its unit, for sentences and captions; a dash for NaN."""
        if not math.isfinite(value):
            return "–"
        return f"{value:.1f}°" if self.unit == "°" else f"{value:.{self.decimals}f} {self.unit}".rstrip()

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


@dataclass(frozen=True)
class Confusion:
    """What the pixels of each class are taken for."""

    classes: list[str]
    """Those that targets or predictions have, the largest first."""
    pixels: list[list[int]]
    """Pixels by class of the target (row) and of the prediction (column)."""

    def mistakes(self, most: int) -> list[tuple[str, str, float]]:
        """Class, what it is taken for, and the share of the class' pixels; those with most pixels first."""
        found = [
            (count, true, predicted, count / sum(row))
            for true, row in zip(self.classes, self.pixels, strict=True)
            for predicted, count in zip(self.classes, row, strict=True)
            if count and true != predicted
        ]
        return [mistake[1:] for mistake in sorted(found, key=lambda mistake: -mistake[0])[:most]]


class TaskMetrics(ABC):
    """Streaming scores of one task: ``update`` per batch, ``compute`` at the end.

    The result over batches, and over several processes, is that over all data at once.
    """

    _sums: StreamingSums
    ratios: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Metrics that are one sum by another: name -> the sums' names."""

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Take in a batch of predictions (as decoders put them out) and targets; invalid pixels do not count."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metric name -> value; NaN where no valid pixel was seen. All processes have to call it."""

    def image_sums(self) -> dict[str, Tensor]:
        """Name -> ``[n]``: sums of what this process took in, which add up over images, and from which `from_sums` makes scores.

        Empty for a task whose scores are no ratios; nothing is then resampled over its images.
        """
        names = dict.fromkeys(name for pair in self.ratios.values() for name in pair)
        own = self._sums.own() if names else {}
        return {name: own[name] for name in names}

    @classmethod
    def from_sums(cls, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Metric -> ``[...]`` from added up `image_sums` ``[..., n]``; NaN where no pixel was seen."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {metric: (sums[over] / sums[under])[..., 0] for metric, (over, under) in cls.ratios.items()}

    def classes(self) -> dict[str, ClassScore]:
        """Class -> how well it is found, the largest first, without those that neither targets nor predictions have.

        Empty for tasks without classes. All processes have to call it.
        """
        return {}

    def confusion(self) -> Confusion | None:
        """What the pixels of each class are taken for; None for tasks without classes. All processes have to call it."""
        return None


class Task(ABC):
    """A dense prediction task. Subclasses are final; `mgm.tasks.TASKS` is the registry.

    A *prediction* is what a decoder puts out, ``[B, channels, H, W]`` float. A *target* is what a data set stores (see
    `mgm.types.Targets`). A *value* is a prediction turned into the space of targets by `decode`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    abbreviation: ClassVar[str] = ""
    """In names of models that learn this task alone (``MGM-SS``); empty: its name."""
    unit: ClassVar[str] = ""
    values: ClassVar[str] = ""
    """What the numbers of a value mean."""
    hub_tag: ClassVar[str] = "image-to-image"
    """What the Hugging Face Hub calls the task."""
    caveat: ClassVar[str] = ""
    """What users of a model have to know about its values: a sentence for the model card."""
    metrics_info: ClassVar[dict[str, MetricInfo]]
    """Metric name -> how to read it, in the order of tables."""
    primary: ClassVar[str]
    """The metric that the task is judged by."""
    losses: ClassVar[Mapping[str, Loss]]
    """Name -> training loss; the first one is the paper's, and the default."""
    recommended_loss: ClassVar[str] = ""
    """The one that scored best on validation (docs/base.md); empty: the paper's."""
    calibratable: ClassVar[bool] = False
    """Whether scale and shift of values (of one channel) may be fitted, because they depend on the camera."""
    vector: ClassVar[bool] = False
    """Whether the first two channels of a target are a vector in the picture, to the right and downwards."""
    categorical: ClassVar[bool] = False
    """Whether values are class indices."""
    error_end: ClassVar[str] = "1"
    """What an error of 1 (see `error`) means, with its unit."""
    error_size: ClassVar[float] = 1.0
    """A difference of values that is a large one, in their unit."""
    file_settings: ClassVar[type[FileSettings]] = FileSettings
    """What ``dataset.yaml`` may say about files of this task, and how they are decoded."""
    stored_dtype: ClassVar[str] = "float16"
    """Type of the targets in a store."""

    @property
    def value_format(self) -> str:
        """Shape and meaning of a value of one image, for model cards."""
        shape = "`[H, W]` int64" if self.categorical else f"`[{self.channels}, H, W]`"
        return f"{shape}, {self.values}" if self.values else shape

    @classmethod
    def target_format(cls) -> str:
        """What the numbers of a target mean, for the manifest of a store."""
        return f"{cls.values or 'any number'}; {IGNORE_INDEX if cls.categorical else 'NaN'} where there is no label"

    @classmethod
    @abstractmethod
    def target_shape(cls, size: FrameLike) -> tuple[int, ...]:
        """Shape of the target of one image."""

    @classmethod
    def missing_target(cls, size: FrameLike) -> np.ndarray:
        """The target of an image without a label."""
        return np.full(cls.target_shape(size), np.nan, np.float32)

    @classmethod
    def has_labels(cls, target: np.ndarray, num_classes: int) -> bool:
        """Whether any pixel of a target is labelled."""
        return bool(np.isfinite(target).any())

    @classmethod
    def check_target(cls, target: np.ndarray, num_classes: int, where: str) -> None:
        """Raise `DataError` if a target has values that cannot be."""
        if (np.abs(target) > np.finfo(np.float16).max).any():
            raise DataError(f"{where}: {cls.name} is infinite or above 65504; mark pixels without a value by NaN")

    own_colours: Sequence[tuple[int, int, int]] = ()
    """RGB of each class, 0 to 255, as the data set has them; empty: it has none."""

    def __init__(self, classes: Sequence[str] = (), loss: str = "") -> None:
        """A task over some classes, trained by one of its `losses`; empty: the first.

        Raises:
            ConfigError: If there is no such loss.
        """
        self.classes = tuple(classes)
        self.loss_name = loss or next(iter(self.losses))
        self._loss = choose(f"loss of {self.name}", self.loss_name, dict(self.losses))

    @property
    @abstractmethod
    def channels(self) -> int:
        """Channels of a prediction."""

    @abstractmethod
    def valid(self, target: Tensor) -> Tensor:
        """``[B, H, W]`` bool: pixels that have a label."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar training loss, the mean over the valid pixels of all processes; 0 with a graph if there is none."""

    @abstractmethod
    def divergence(self, prediction: Tensor, estimate: Tensor) -> Tensor:
        """``-log P(estimate | prediction)`` up to a constant, averaged over pixels: a scalar, differentiable in both.

        Both arguments are predictions. For the explicit E- and M-step (paper eq. 4, 5).
        """

    @abstractmethod
    def refinement_input(self, prediction: Tensor) -> Tensor:
        """``[B, channels, H, W]``: the form in which the refinement network reads a prediction."""

    @abstractmethod
    def decode(self, prediction: Tensor) -> Tensor:
        """Prediction -> value in target space (class index, metres, unit vector, ...)."""

    def resize(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """A prediction at another resolution: interpolated bilinearly, logits too."""
        return resize_bilinear(prediction, size)

    def decode_at(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """Values at another resolution: `resize`, then `decode`."""
        return self.decode(self.resize(prediction, size))

    @abstractmethod
    def confidence(self, prediction: Tensor, mirrored: Tensor) -> Tensor:
        """How sure a prediction is of itself, ``[B, H, W]`` in [0, 1]; no promise about how often it is right.

        Args:
            prediction: ``[B, C, H, W]``, what is shown.
            mirrored: ``[B, C, H, W]``, the prediction for the left-right mirrored image, mirrored back (see `mirror`).
        """

    def confidence_at(self, prediction: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
        """`confidence` of the values of `decode_at`, at that resolution."""
        return self.confidence(self.resize(prediction, size), self.resize(mirrored, size))

    @abstractmethod
    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """New streaming scores."""

    @abstractmethod
    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """``[channels]``: the best constant prediction for some targets (mode, median or mean)."""

    def flip(self, target: Tensor) -> Tensor:
        """The target of the left-right mirrored image: pixels change place, and vectors change sign in x as well."""
        flipped = target.flip(-1)
        return torch.cat((-flipped[:, :1], flipped[:, 1:]), dim=1) if self.vector else flipped

    def turn(self, target: Tensor, quarters: int) -> Tensor:
        """The target of the image turned counter-clockwise by so many right angles: pixels change place, and vectors turn too."""
        turned = torch.rot90(target, quarters, (-2, -1))
        if not self.vector:
            return turned
        x, y = turned[:, :1], turned[:, 1:2]
        for _ in range(quarters % 4):
            x, y = y, -x
        return torch.cat((x, y, turned[:, 2:]), dim=1)

    def mirror(self, prediction: Tensor) -> Tensor:
        """The prediction for the left-right mirrored image: `flip` in the space of predictions."""
        return prediction.flip(-1)

    def zoom(self, target: Tensor, factor: Tensor) -> Tensor:
        """Values (not places) after magnifying the image by ``factor`` ``[B]``: depth is divided by it, others stay."""
        return target

    @abstractmethod
    def missing(self, batch: int, height: int, width: int) -> Tensor:
        """Targets without a valid pixel."""

    @abstractmethod
    def error(self, value: Tensor, target: Tensor) -> Tensor:
        """``[B, H, W]`` float in [0, 1]: 0 right, 1 as wrong as the scale shows; NaN where invalid."""

    def span(self, values: Iterable[Tensor]) -> Span:
        """The ends of a colour scale on which these values, with or without batch dimension, can be compared."""
        return 0.0, 1.0

    @abstractmethod
    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """Values as a picture, ``[B, 3, H, W]`` uint8; invalid pixels are dark grey.

        Args:
            value: As of `decode`.
            span: The ends of the colour scale, of tasks that have one; None: `span` of this value.
        """

    @abstractmethod
    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """What the colours mean.

        Args:
            values: All values that are shown, with or without batch dimension.
            span: What they were coloured with; None: `span` of ``values``.
        """

    def error_scale(self) -> ColourScale:
        """The colours of error maps."""
        return ColourScale(colours_of(ERROR_COLOURS), "0", f"≥ {self.error_end}")

    def holes(self, value: Tensor) -> Tensor:
        """``[B, H, W]`` bool: pixels that `colour` draws in dark grey."""
        return ~self.valid(value)

    def unlabelled(self, values: Iterable[Tensor]) -> float:
        """Share of `holes` in values with or without batch dimension."""
        masks = [self.holes(self.batched(value)) for value in values]
        return sum(int(mask.sum()) for mask in masks) / max(1, sum(mask.numel() for mask in masks))

    def batched(self, value: Tensor) -> Tensor:
        """A value with a batch dimension, if it had none."""
        return value if value.dim() == (3 if self.categorical else 4) else value[None]

    @abstractmethod
    def describe(self, value: Tensor) -> str:
        """The value of one pixel, ``[]`` (a class index) or ``[C]``, in words."""

    @abstractmethod
    def describe_difference(self, first: Tensor, second: Tensor) -> str:
        """How two values of the same image, without batch dimension, differ, in words."""

    def comparable(self, other: Task) -> bool:
        """Whether values mean the same as those of another task of this class."""
        return True

    def from_array(self, array: np.ndarray) -> Tensor:
        """A stored target (see `mgm.types.Sample`) as a tensor of the type that `valid`, `colour`, ... take."""
        return torch.from_numpy(np.array(array)).float()

    def class_counts(self, value: Tensor) -> Tensor:
        """``[K]`` int64: pixels of each class in a value; empty for tasks without classes."""
        return torch.zeros(0, dtype=torch.int64)

    def suspicions(self, target: Tensor) -> list[str]:
        """What looks wrong about the label of one image, ``[1, ...]`` with a valid pixel."""
        return []

    def doubt_about(self, median: float) -> str:
        """What looks wrong about a data set whose images have this median value; empty: nothing."""
        return ""
