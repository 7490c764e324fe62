"""Semantic segmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mgm.errors import ConfigError
from mgm.functional.precision import at_least_float32
from mgm.functional.segmentation_losses import (
    balanced_cross_entropy_loss,
    cross_entropy_loss,
    dice_cross_entropy_loss,
    lovasz_cross_entropy_loss,
)
from mgm.tasks.base import ERROR_COLOURS, ClassScore, Confusion, Loss, MetricInfo, Span, Task, TaskMetrics
from mgm.tasks.files import ClassFiles, FileSettings, check_labels
from mgm.tasks.legend import ClassColour, ColourScale, Legend
from mgm.tasks.metrics import StreamingSums, ratio, wide_sum
from mgm.tasks.pictures import MAX_CLASSES, colours_of, paint_classes, palette
from mgm.types import IGNORE_INDEX, Frame, FrameLike

LOGITS_AT_ONCE = 8
"""Number of classes whose logits are upsampled together: 40 classes at 12 million pixels would take 2 GB."""


def class_ious(confusion: Tensor) -> Tensor:
    """``[K]``: intersection over union of each class, in [0, 1]; NaN for a class in neither targets nor predictions.

    Args:
        confusion: ``[K, K]`` float, pixel counts by target (row) and prediction (column).
    """
    both = confusion.diagonal()
    return both / (confusion.sum(0) + confusion.sum(1) - both)  # 0 / 0 is NaN


def mean_iou(confusion: Tensor) -> float:
    """Mean of `class_ious` over the classes in targets or predictions, in [0, 1]; NaN if no pixel was counted."""
    ious = class_ious(confusion)
    return float(ious[~ious.isnan()].mean())


@final
class SegmentationMetrics(TaskMetrics):
    """Metrics of one confusion matrix over the whole data set, not averaged over images.

    A class in neither targets nor predictions is left out of the mean IoU; one that is only predicted counts as 0.
    """

    def __init__(self, names: Sequence[str], device: torch.device | str) -> None:
        self.names = names
        self.num_classes = len(names)
        self._sums = StreamingSums({"confusion": self.num_classes**2, "cross_entropy": 1}, device)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits ``[B, K, H, W]`` and labels ``[B, H, W]``."""
        cell = target * self.num_classes + prediction.argmax(dim=1)
        # unlabelled pixels go to one extra cell, dropped below: this avoids copying the labelled pixels
        cell = torch.where(target != IGNORE_INDEX, cell, self.num_classes**2)
        loss = F.cross_entropy(at_least_float32(prediction), target, ignore_index=IGNORE_INDEX, reduction="none")
        self._sums.update(
            confusion=torch.bincount(cell.flatten(), minlength=self.num_classes**2 + 1)[:-1],
            cross_entropy=wide_sum(loss),
        )

    def compute(self) -> dict[str, float]:
        """``miou`` and ``pixel_accuracy`` in [0, 1], and the mean ``cross_entropy`` in nats."""
        sums = self._sums.totals()
        confusion = sums["confusion"].view(self.num_classes, self.num_classes)
        return {
            "miou": mean_iou(confusion),
            "pixel_accuracy": ratio(confusion.diagonal().sum(), confusion.sum()),
            "cross_entropy": ratio(sums["cross_entropy"], confusion.sum()),
        }

    def image_sums(self) -> dict[str, Tensor]:
        """Pixel counts of each class in the intersection, the target and the prediction, and the summed cross-entropy."""
        own = self._sums.own()
        confusion = own["confusion"].view(self.num_classes, self.num_classes)
        counts = {"both": confusion.diagonal(), "target": confusion.sum(1), "prediction": confusion.sum(0)}
        return {**counts, "cross_entropy": own["cross_entropy"]}

    @classmethod
    def from_sums(cls, sums: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """``miou``, ``pixel_accuracy`` and ``cross_entropy`` from summed `image_sums`."""
        both, target = sums["both"], sums["target"]
        union = target + sums["prediction"] - both
        pixels = target.sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ious = np.where(union > 0, both / union, 0)
            return {
                "miou": ious.sum(-1) / (union > 0).sum(-1),
                "pixel_accuracy": both.sum(-1) / pixels,
                "cross_entropy": sums["cross_entropy"][..., 0] / pixels,
            }

    def classes(self) -> dict[str, ClassScore]:
        """Scores and frequency of the classes that ``miou`` averages over."""
        confusion, order = self._ranked()
        both, target, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        columns = (class_ious(confusion), both / predicted, both / target, target / confusion.sum())
        return {self._title(index): ClassScore(*(float(values[index]) for values in columns)) for index in order}

    def confusion(self) -> Confusion:
        """The confusion matrix, without classes in neither targets nor predictions."""
        confusion, order = self._ranked()
        pixels = [[int(count) for count in row] for row in confusion[order][:, order].round()]
        return Confusion([self._title(index) for index in order], pixels)

    def _ranked(self) -> tuple[Tensor, list[int]]:
        """Confusion matrix ``[K, K]``, and the indices of the classes in it, those with the most labelled pixels first."""
        confusion = self._sums.totals()["confusion"].view(self.num_classes, self.num_classes)
        present = (confusion.sum(0) + confusion.sum(1)) > 0
        ranked = confusion.sum(1).argsort(descending=True, stable=True)
        return confusion, [int(index) for index in ranked[present[ranked]]]

    def _title(self, index: int) -> str:
        """Name of a class, with its index if the data set has several classes of that name."""
        name = self.names[index]
        return f"{name} ({index})" if self.names.count(name) > 1 else name


class Segmentation(Task):
    """One class per pixel, trained with cross-entropy on logits: plain, class-balanced, or with a term that averages over classes.

    Raises:
        ConfigError: If there are no classes, or more than 255.
    """

    values: ClassVar[str] = "class index"
    hub_tag: ClassVar[str] = "image-segmentation"
    metrics_info: ClassVar[dict[str, MetricInfo]] = {
        "miou": MetricInfo("mIoU", higher_is_better=True),
        "pixel_accuracy": MetricInfo("pixel accuracy", higher_is_better=True),
        "cross_entropy": MetricInfo("cross-entropy", higher_is_better=False),
    }
    primary: ClassVar[str] = "miou"
    categorical: ClassVar[bool] = True
    missing_value: ClassVar[float] = IGNORE_INDEX
    error_end: ClassVar[str] = "wrong class"
    losses: ClassVar[Mapping[str, Loss]] = {
        "cross_entropy": cross_entropy_loss,
        "balanced": balanced_cross_entropy_loss,
        "lovasz": lovasz_cross_entropy_loss,
        "dice": dice_cross_entropy_loss,
    }
    recommended_loss: ClassVar[str] = "lovasz"
    file_settings: ClassVar[type[FileSettings]] = ClassFiles
    stored_dtype: ClassVar[str] = "uint8"

    @classmethod
    def target_shape(cls, size: FrameLike) -> tuple[int, ...]:
        """``(height, width)``: one index per pixel, no channel dimension."""
        return Frame.of(size).size

    @classmethod
    def check_target(cls, target: np.ndarray, num_classes: int, where: str) -> None:
        """Raise `DataError` unless every label is a class index or `IGNORE_INDEX`."""
        check_labels(target, num_classes, where)

    def __init__(self, classes: Sequence[str] = (), loss: str = "") -> None:
        super().__init__(classes, loss)
        if not self.classes:
            raise ConfigError(
                f"the task {self.name!r} needs classes, but the data set names none: leave the task out, or name the classes"
            )
        if len(self.classes) > MAX_CLASSES:
            raise ConfigError(f"the task {self.name!r} takes up to {MAX_CLASSES} classes, not {len(self.classes)}")

    @property
    def channels(self) -> int:
        """One logit per class."""
        return len(self.classes)

    @property
    def palette(self) -> np.ndarray:
        """``[K, 3]`` uint8: the data set's colour of each class, or those of `mgm.tasks.pictures.palette`."""
        if len(self.own_colours) == self.channels:
            return np.array(self.own_colours, np.uint8)
        return palette(self.channels)

    def valid(self, target: Tensor) -> Tensor:
        """Pixels with a class."""
        return target != IGNORE_INDEX

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The chosen loss; by default cross-entropy in nats."""
        return self._loss(prediction, target, self.valid(target))

    def divergence(self, prediction: Tensor, estimate: Tensor) -> Tensor:
        """Kullback-Leibler divergence ``KL(estimate || prediction)`` of the class distributions in nats, averaged over pixels."""
        predicted = F.log_softmax(at_least_float32(prediction), dim=1)
        estimated = F.log_softmax(at_least_float32(estimate), dim=1)
        return (estimated.exp() * (estimated - predicted)).sum(dim=1).mean()

    def refinement_input(self, prediction: Tensor) -> Tensor:
        """Class probabilities."""
        return F.softmax(at_least_float32(prediction), dim=1)

    def decode(self, prediction: Tensor) -> Tensor:
        """``[B, H, W]`` int64: the most probable class."""
        return prediction.argmax(dim=1)

    def decode_at(self, prediction: Tensor, size: tuple[int, int]) -> Tensor:
        """The most probable class at another resolution, without holding all logits of a large image in memory."""
        best = at_least_float32(prediction).new_full((len(prediction), *size), -torch.inf)
        winner = torch.zeros_like(best, dtype=torch.int64)
        for start in range(0, self.channels, LOGITS_AT_ONCE):
            top, index = self.resize(prediction[:, start : start + LOGITS_AT_ONCE], size).max(dim=1)
            better = top > best
            winner[better] = index[better] + start
            best[better] = top[better]
        return winner

    def confidence(self, prediction: Tensor, mirrored: Tensor) -> Tensor:
        """Probability of the most probable class, at least 1 / K. Ignores ``mirrored``."""
        return F.softmax(at_least_float32(prediction), dim=1).amax(dim=1)

    def confidence_at(self, prediction: Tensor, mirrored: Tensor, size: tuple[int, int]) -> Tensor:
        """`confidence` at another resolution, without holding all logits of a large image in memory."""
        best = total = at_least_float32(prediction).new_full((len(prediction), *size), -torch.inf)
        for start in range(0, self.channels, LOGITS_AT_ONCE):
            logits = self.resize(prediction[:, start : start + LOGITS_AT_ONCE], size)
            best = torch.maximum(best, logits.amax(dim=1))
            total = torch.logaddexp(total, logits.logsumexp(dim=1))
        return (best - total).exp()

    def metrics(self, device: torch.device | str = "cpu") -> TaskMetrics:
        """Mean intersection over union, pixel accuracy and mean cross-entropy (the paper's loss on Taskonomy)."""
        return SegmentationMetrics(self.classes, device)

    def constant(self, targets: Iterable[Tensor]) -> Tensor:
        """Log frequencies of the classes: they minimise the cross-entropy, and their argmax is the mode.

        A class that never occurs gets a very low but finite logit. Without any label all logits are equal.
        """
        counts = torch.zeros(self.channels, dtype=torch.int64)
        for target in targets:
            counts += torch.bincount(target[self.valid(target)].flatten().cpu(), minlength=self.channels)
        frequencies = counts.double() / counts.sum().clamp(min=1)
        return frequencies.clamp(min=1e-9).log().float()

    def error(self, value: Tensor, target: Tensor) -> Tensor:
        """1 where the class is wrong."""
        return torch.where(self.valid(target), (value != target).float(), float("nan"))

    def error_scale(self) -> ColourScale:
        """Two colours: right and wrong."""
        return ColourScale(colours_of(ERROR_COLOURS)[[0, -1]], "right", "wrong")

    def colour(self, value: Tensor, span: Span | None = None) -> Tensor:
        """Colour each class by `palette`."""
        return paint_classes(value, self.palette)

    def legend(self, values: Sequence[Tensor], span: Span | None = None) -> Legend:
        """The classes that occur, the most frequent first."""
        counts = torch.stack([self.class_counts(value) for value in values]).sum(0) if values else torch.zeros(0)
        total = max(1, sum(value.numel() for value in values))
        colours = self.palette.tolist()
        ranked = [int(index) for index in counts.argsort(descending=True, stable=True) if counts[index] > 0]
        classes = (
            ClassColour(self.classes[index].replace("_", " "), tuple(colours[index]), counts[index].item() / total)
            for index in ranked
        )
        unlabelled = 1 - counts.sum().item() / total if values else 0.0
        return Legend(self.title, self.error_scale(), classes=tuple(classes), unlabelled=unlabelled)

    def describe(self, value: Tensor) -> str:
        """The name of the class."""
        return self.classes[int(value)] if int(value) < self.channels else "no class"

    def describe_difference(self, first: Tensor, second: Tensor) -> str:
        """Percentage of the pixels whose class differs."""
        return f"different class at {100 * (first != second).float().mean().item():.0f} % of the pixels"

    def comparable(self, other: Task) -> bool:
        """Whether the other task has the same classes in the same order."""
        return self.classes == other.classes

    def from_array(self, array: np.ndarray) -> Tensor:
        """The stored labels as int64."""
        return torch.from_numpy(np.array(array)).long()

    def class_counts(self, value: Tensor) -> Tensor:
        """``[K]`` int64: pixel count of each class; pixels without a class are ignored."""
        known = value[(value >= 0) & (value < self.channels)].flatten().cpu().long()
        return torch.bincount(known, minlength=self.channels)


@final
class SemanticSegmentation(Segmentation):
    """Semantic segmentation as in the paper, over the classes of the data set."""

    name: ClassVar[str] = "semantic"
    title: ClassVar[str] = "Semantic segmentation"
    abbreviation: ClassVar[str] = "SS"
