"""Abstract base classes of tasks and their metrics. A task object owns everything that differs between tasks."""

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
from mgm.tasks.metrics import UNKNOWN, StreamingSums
from mgm.tasks.pictures import colours_of
from mgm.types import IGNORE_INDEX, FrameLike

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Training loss ``(prediction, encoded target, valid mask) -> scalar``: the mean over the valid pixels of all processes.
Without a valid pixel it is 0 and still attached to the graph."""

Span = tuple[float, float]
"""Values at the low and the high end of a colour scale."""

ERROR_COLOURS = "YlOrRd"
"""Matplotlib colour map of error maps: bright is a small error, dark a large one."""


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is displayed and compared."""

    title: str
    higher_is_better: bool
    unit: str = ""
    decimals: int = 3
    """Decimal places."""

    def text(self, value: float) -> str:
        """Format a value with its unit, for sentences and captions; a dash if it is not finite."""
        if not math.isfinite(value):
            return UNKNOWN
        return f"{value:z.1f}°" if self.unit == "°" else f"{value:z.{self.decimals}f} {self.unit}".rstrip()

    def number(self, value: float | None) -> str:
        """Format a value without its unit, for tables; a dash if it is not finite."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        return f"{value:z.2f}" if self.unit == "°" else f"{value:z.{self.decimals}f}"

    @property
    def heading(self) -> str:
        """Title with unit and direction: ``absolute error [m] ↓``."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.title}{unit} {'↑' if self.higher_is_better else '↓'}"


@dataclass(frozen=True)
class ClassScore:
    """Scores and frequency of one class, in [0, 1]."""

    iou: float
    """Intersection over union."""
    precision: float
    """Fraction of the pixels predicted as this class that have it; NaN if it is never predicted."""
    recall: float
    """Fraction of the pixels of this class that are predicted as it; NaN if it is never a target."""
    pixels: float
    """Fraction of the labelled pixels that have this class; 0 if it is predicted but never a target."""


@dataclass(frozen=True)
class Confusion:
    """Confusion matrix of a segmentation task."""

    classes: list[str]
    """Classes that occur in targets or predictions, the most frequent first."""
    pixels: list[list[int]]
    """Pixel counts by target class (row) and predicted class (column)."""

    def mistakes(self, most: int) -> list[tuple[str, str, float, float]]:
        """The ``most`` largest confusions: target class, predicted class, fraction of the pixels of the target class, and of all.

        They are sorted by the last one.
        """
        whole = sum(map(sum, self.pixels))
        found = [
            (true, predicted, count / sum(row), count / whole)
            for true, row in zip(self.classes, self.pixels, strict=True)
            for predicted, count in zip(self.classes, row, strict=True)
            if count and true != predicted
        ]
        return sorted(found, key=lambda mistake: -mistake[-1])[:most]


class TaskMetrics(ABC):
    """Streaming metrics of one task: ``update`` per batch, ``compute`` at the end.

    The result does not depend on how the data are divided into batches and processes.
    """

    _sums: StreamingSums
    ratios: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Metrics that are a ratio of two sums: metric name -> names of numerator and denominator."""

    @abstractmethod
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add a batch of predictions (decoder outputs) and targets; invalid pixels are ignored."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Metric name -> value; NaN where no valid pixel was seen. All processes have to call it."""

    def image_sums(self) -> dict[str, Tensor]:
        """Name -> ``[n]``: the sums of this process. They are additive over images; `from_sums` computes metrics from them.

        Empty for a task whose metrics are not ratios: these cannot be resampled over images.
        """
        names = dict.fromkeys(name for pair in self.ratios.values() for name in pair)
        own = self._sums.own() if names else {}
        return {name: own[name] for name in names}

    @classmethod
    def from_sums(cls, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Metric name -> ``[...]``, from summed `image_sums` ``[..., n]``; NaN where no pixel was seen."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {metric: (sums[over] / sums[under])[..., 0] for metric, (over, under) in cls.ratios.items()}

    def classes(self) -> dict[str, ClassScore]:
        """Class name -> score, the most frequent class first; classes in neither targets nor predictions are left out.

        Empty for tasks without classes. All processes have to call it.
        """
        return {}

    def confusion(self) -> Confusion | None:
        """The confusion matrix; None for tasks without classes. All processes have to call it."""
        return None


class Task(ABC):
    """A dense prediction task. Subclasses are final; `mgm.tasks.TASKS` is the registry.

    A *prediction* is the output of a decoder, ``[B, channels, H, W]`` float. A *target* is what a data set stores (see
    `mgm.types.Targets`). A *value* is a prediction converted to target space by `decode`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    abbreviation: ClassVar[str] = ""
    """Used in names of models that learn only this task (``MGM-SS``); empty: the task's name."""
    unit: ClassVar[str] = ""
    values: ClassVar[str] = ""
    """Meaning of the numbers in a value."""
    hub_tag: ClassVar[str] = "image-to-image"
    """Name of the task on the Hugging Face Hub."""
    caveat: ClassVar[str] = ""
    """What users of a model must know about its values: a sentence for the model card."""
    metrics_info: ClassVar[dict[str, MetricInfo]]
    """Metric name -> how to display it, in the order used in tables."""
    primary: ClassVar[str]
    """Name of the metric that models are selected and ranked by."""
    losses: ClassVar[Mapping[str, Loss]]
    """Name -> training loss; the first is the paper's, and the default."""
    recommended_loss: ClassVar[str] = ""
    """Name of the loss with the best validation score (docs/base.md); empty: the paper's."""
    calibratable: ClassVar[bool] = False
    """Whether scale and shift of the (single-channel) values may be fitted, because they depend on the camera."""
    vector: ClassVar[bool] = False
    """Whether the first two channels of a target are an image-plane vector: x to the right, y down."""
    categorical: ClassVar[bool] = False
    """Whether values are class indices."""
    missing_value: ClassVar[float] = math.nan
    """Value of a target's pixels without a label."""
    error_end: ClassVar[str] = "1"
    """The difference that `error` maps to 1, as text with its unit."""
    error_size: ClassVar[float] = 1.0
    """A difference between values that counts as large, in the task's unit."""
    file_settings: ClassVar[type[FileSettings]] = FileSettings
    """Settings of this task's files in ``dataset.yaml``, which also decode the files."""
    stored_dtype: ClassVar[str] = "float16"
    """NumPy dtype of the targets in a store."""

    @property
    def value_format(self) -> str:
        """Shape and meaning of the value of one image, for model cards."""
        shape = "`[H, W]` int64" if self.categorical else f"`[{self.channels}, H, W]`"
        return f"{shape}, {self.values}" if self.values else shape

    @classmethod
    def target_format(cls) -> str:
        """Meaning of the numbers in a target, for the manifest of a store."""
        return f"{cls.values or 'any number'}; {IGNORE_INDEX if cls.categorical else 'NaN'} where there is no label"

    @classmethod
    @abstractmethod
    def target_shape(cls, size: FrameLike) -> tuple[int, ...]:
        """Shape of the target of one image."""

    @classmethod
    def missing_target(cls, size: FrameLike) -> np.ndarray:
        """Target of one image without labels: every pixel is missing."""
        return np.full(cls.target_shape(size), cls.missing_value, np.uint8 if cls.categorical else np.float32)

    @classmethod
    def check_target(cls, target: np.ndarray, num_classes: int, where: str) -> None:
        """Raise `DataError` if a target has impossible values."""
        if (np.abs(target) > np.finfo(np.float16).max).any():
            raise DataError(f"{where}: {cls.name} is infinite or above 65504; mark pixels without a value by NaN")

    own_colours: Sequence[tuple[int, int, int]] = ()
    """RGB colour of each class as defined by the data set, 0 to 255; empty: the default palette."""

    def __init__(self, classes: Sequence[str] = (), loss: str = "") -> None:
        """A task with these class names and this training loss.

        Args:
            classes: Class names in index order; only categorical tasks use them.
            loss: Key of `losses`; empty: the first.

        Raises:
            ConfigError: If the loss is unknown.
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
        """``[B, H, W]`` bool: which pixels have a label."""

    @abstractmethod
    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar training loss: the mean over the valid pixels of all processes; without any, 0 still attached to the graph."""

    @abstractmethod
    def divergence(self, prediction: Tensor, estimate: Tensor) -> Tensor:
        """``-log P(estimate | prediction)`` up to a constant, averaged over pixels: a scalar, differentiable in both.

        Both arguments are predictions. For the explicit E- and M-step (paper eq. 4, 5).
        """

    @abstractmethod
    def refinement_input(self, prediction: Tensor) -> Tensor:
        """``[B, channels, H, W]``: the prediction in the form that the refinement network takes as input."""

    @abstractmethod
    def decode(self, prediction: Tensor) -> Tensor:
        """Convert a prediction to a value in target space (class index, metres, unit vector, ...)."""

    def resize(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize a prediction (of segmentation: its logits) bilinearly to ``size`` (height, width)."""
        return resize_bilinear(prediction, size)

    def decode_at(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """`resize` a prediction, then `decode` it."""
        return self.decode(self.resize(prediction, size))

    @abstractmethod
    def confidence(self, prediction: Tensor, mirrored: Tensor) -> Tensor:
        """``[B, H, W]``: confidence of each pixel, in [0, 1]. It is not calibrated.

        Args:
            prediction: ``[B, C, H, W]``, the prediction to judge.
            mirrored: ``[B, C, H, W]``, the prediction for the horizontally flipped image, flipped back (see `mirror`).
        """

    def confidence_at(self, prediction: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
        """`confidence` at another resolution, matching `decode_at`."""
        return self.confidence(self.resize(prediction, size), self.resize(mirrored, size))

    @abstractmethod
    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """New streaming metrics of this task."""

    @abstractmethod
    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """``[channels]``: the best constant prediction for these targets (mode, median or mean)."""

    def flip(self, target: Tensor) -> Tensor:
        """Target of the horizontally flipped image: pixels are flipped, and vectors also change the sign of x."""
        flipped = target.flip(-1)
        return torch.cat((-flipped[:, :1], flipped[:, 1:]), dim=1) if self.vector else flipped

    def turn(self, target: Tensor, quarters: int) -> Tensor:
        """Target of the image rotated counter-clockwise by ``quarters`` right angles: pixels move, and vectors rotate too."""
        turned = torch.rot90(target, quarters, (-2, -1))
        if not self.vector:
            return turned
        x, y = turned[:, :1], turned[:, 1:2]
        for _ in range(quarters % 4):
            x, y = y, -x
        return torch.cat((x, y, turned[:, 2:]), dim=1)

    def mirror(self, prediction: Tensor) -> Tensor:
        """Prediction for the horizontally flipped image: `flip` in prediction space."""
        return prediction.flip(-1)

    def zoom(self, target: Tensor, factor: Tensor) -> Tensor:
        """Adjust target values after the image is magnified by ``factor`` ``[B]``: depth is divided by it, others are unchanged.

        Pixels are not moved.
        """
        return target

    @abstractmethod
    def error(self, value: Tensor, target: Tensor) -> Tensor:
        """``[B, H, W]`` float in [0, 1]: 0 is correct, 1 the end of the error scale (`error_end`) or beyond; NaN where invalid."""

    def span(self, values: Iterable[Tensor]) -> Span:
        """Ends of one colour scale for all these values, each with or without a batch dimension."""
        return 0.0, 1.0

    @abstractmethod
    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """Colour a value as an RGB image, ``[B, 3, H, W]`` uint8; invalid pixels are dark grey.

        Args:
            value: As returned by `decode`.
            span: Ends of the colour scale, for tasks that have one; None: `span` of this value.
        """

    @abstractmethod
    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """Legend of the colours.

        Args:
            values: All values that are shown, with or without a batch dimension.
            span: The span they were coloured with; None: `span` of ``values``.
        """

    def error_scale(self) -> ColourScale:
        """Colour scale of error maps."""
        return ColourScale(colours_of(ERROR_COLOURS), "0", f"≥ {self.error_end}")

    def holes(self, value: Tensor) -> Tensor:
        """``[B, H, W]`` bool: which pixels `colour` draws in dark grey."""
        return ~self.valid(value)

    def unlabelled(self, values: Iterable[Tensor]) -> float:
        """Fraction of `holes` in values with or without a batch dimension."""
        masks = [self.holes(self.batched(value)) for value in values]
        return sum(int(mask.sum()) for mask in masks) / max(1, sum(mask.numel() for mask in masks))

    def batched(self, value: Tensor) -> Tensor:
        """Add a batch dimension to a value without one."""
        return value if value.dim() == (3 if self.categorical else 4) else value[None]

    @abstractmethod
    def describe(self, value: Tensor) -> str:
        """Describe the value of one pixel, ``[]`` (a class index) or ``[C]``, in words."""

    @abstractmethod
    def describe_difference(self, first: Tensor, second: Tensor) -> str:
        """Describe in words how two values of the same image differ, both without a batch dimension."""

    def comparable(self, other: Task) -> bool:
        """Whether values have the same meaning as those of another task of this class."""
        return True

    def from_array(self, array: np.ndarray) -> Tensor:
        """Convert a stored target (see `mgm.types.Sample`) to a tensor of the dtype that `valid`, `colour`, ... take."""
        return torch.from_numpy(np.array(array)).float()

    def class_counts(self, value: Tensor) -> Tensor:
        """``[K]`` int64: pixel count of each class in a value; empty for tasks without classes."""
        return torch.zeros(0, dtype=torch.int64)

    def suspicions(self, target: Tensor) -> list[str]:
        """Warnings about the target of one image, ``[1, ...]`` with at least one valid pixel."""
        return []

    def doubt_about(self, median: float) -> str:
        """Warning about a data set whose images have this median value; empty if it is plausible."""
        return ""
