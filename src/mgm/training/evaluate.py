"""Evaluation: scores of predictors over a set of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from mgm.functional.distributed import global_sum, rank, world_size
from mgm.tasks.base import Confusion, Task, TaskMetrics
from mgm.tasks.metrics import mean_relative_gain, relative_gain
from mgm.types import Batch, Predictions

Scores = dict[str, dict[str, float]]
"""Task -> metric -> value."""
WORST = 8
"""Number of worst images to report."""
Classes = dict[str, dict[str, dict[str, float]]]
"""Task -> class -> ``iou`` and ``pixels`` (`mgm.tasks.base.ClassScore`), as stored in result files; only for tasks with classes."""


@torch.no_grad()
def measure(
    predict: Callable[[Tensor], Predictions],
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    device: torch.device | str = "cpu",
    images: ImageSums | None = None,
) -> dict[str, TaskMetrics]:
    """Stream batches through a predictor and accumulate each task's metrics.

    With several processes, each passes its own share of the images (possibly none); reading the metrics, which all processes
    must do, gives the scores of all images.

    Args:
        predict: Maps images ``[B, C, H, W]`` to predictions.
        batches: Images with targets; a task without targets in any batch scores NaN.
        tasks: Task name -> task, the tasks to score.
        device: Device of the batches.
        images: If given, also records the sums of every single image.

    Returns:
        Task name -> its metrics.
    """
    meters = {name: task.metrics(device) for name, task in tasks.items()}
    for batch in batches:
        predictions = predict(batch.images)
        for name, meter in meters.items():
            if name in batch.targets:
                meter.update(predictions[name].float(), batch.targets[name])
        if images:
            images.note(predictions, batch)
    return meters


class ImageSums:
    """Per-image sums from which scores are computed (`TaskMetrics.image_sums`), so that images can be resampled afterwards.

    Args:
        tasks: Task name -> task, the tasks to score.
        count: Number of images of all processes together; each process has every ``world_size``-th.
    """

    def __init__(self, tasks: Mapping[str, Task], count: int) -> None:
        self.tasks = tasks
        self._sums = {
            f"{name}.{key}": torch.zeros(count, len(none), dtype=none.dtype)
            for name, task in tasks.items()
            for key, none in task.metrics().image_sums().items()
        }
        self._next = rank()

    def note(self, predictions: Predictions, batch: Batch) -> None:
        """Record the next images of this process."""
        for row in range(len(batch)):
            for name in self.tasks.keys() & batch.targets.keys():
                meter = self.tasks[name].metrics(batch.images.device)
                meter.update(predictions[name][row : row + 1].float(), batch.targets[name][row : row + 1])
                for key, value in meter.image_sums().items():
                    self._sums[f"{name}.{key}"][self._next] = value
            self._next += world_size()

    def arrays(self, device: torch.device) -> dict[str, np.ndarray]:
        """The sums of all images as ``TASK.SUM`` -> ``[count, n]`` float32.

        All processes must call it together, each with its own device.
        """
        whole = self._sums if world_size() == 1 else {k: global_sum(v.to(device)) for k, v in self._sums.items()}
        return {key: values.cpu().numpy().astype(np.float32) for key, values in whole.items()}


def scores_of(meters: Mapping[str, TaskMetrics]) -> Scores:
    """Compute all metrics. All processes must call it together, because they exchange their sums here."""
    return {name: meter.compute() for name, meter in meters.items()}


def classes_of(meters: Mapping[str, TaskMetrics]) -> Classes:
    """Compute the per-class scores of tasks with classes. All processes must call it together."""
    found = {name: meter.classes() for name, meter in meters.items()}
    return {
        name: {title: asdict(score) for title, score in classes.items()} for name, classes in found.items() if classes
    }


def confusions_of(meters: Mapping[str, TaskMetrics]) -> dict[str, Confusion]:
    """Task -> confusion matrix, for tasks with classes that occurred. All processes must call it together."""
    found = {name: meter.confusion() for name, meter in meters.items()}
    return {name: confusion for name, confusion in found.items() if confusion and confusion.classes}


def image_scores(sums: Mapping[str, np.ndarray], tasks: Mapping[str, Task]) -> dict[str, np.ndarray]:
    """Compute each task's primary metric for every single image, ``[N]``, from `ImageSums.arrays`; NaN without a label."""
    found: dict[str, np.ndarray] = {}
    for name, task in tasks.items():
        own = {key.removeprefix(f"{name}."): values for key, values in sums.items() if key.startswith(f"{name}.")}
        if own:
            found[name] = type(task.metrics()).from_sums(own)[task.primary]
    return found


def worst_images(scores: Mapping[str, np.ndarray], tasks: Mapping[str, Task], most: int = WORST) -> np.ndarray:
    """Indices of the images with the largest errors, worst first, by their mean rank over the tasks.

    Args:
        scores: From `image_scores`.
        tasks: Task name -> task; tells whether a higher score is better.
        most: Maximum number of images.
    """
    ranks: list[np.ndarray] = []
    for name, values in scores.items():
        errors = -values if tasks[name].metrics_info[tasks[name].primary].higher_is_better else values
        known = np.isfinite(errors)
        rank = np.full(len(errors), 0.5)  # an image without a label is neither good nor bad
        rank[known] = errors[known].argsort(kind="stable").argsort() / max(1, known.sum() - 1)
        ranks.append(rank)
    return np.argsort(-np.mean(ranks, axis=0), kind="stable")[:most] if ranks else np.zeros(0, np.int64)


def evaluate(
    predict: Callable[[Tensor], Predictions],
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    device: torch.device | str = "cpu",
) -> Scores:
    """Score a predictor; arguments as for `measure`."""
    return scores_of(measure(predict, batches, tasks, device))


def measure_model(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: dict[str, Task],
    images: ImageSums | None = None,
    *,
    flip_average: bool = False,
) -> dict[str, TaskMetrics]:
    """`measure` a network in evaluation mode, optionally `flip_averaged`; restores the network's mode afterwards."""
    training = model.training
    model.eval()
    try:
        predict = flip_averaged(model, tasks) if flip_average else model
        return measure(predict, batches, tasks, next(model.parameters()).device, images)
    finally:
        model.train(training)


def evaluate_model(
    model: nn.Module, batches: Iterable[Batch], tasks: dict[str, Task], *, flip_average: bool = False
) -> Scores:
    """Score a network in evaluation mode; arguments as for `measure_model`."""
    return scores_of(measure_model(model, batches, tasks, flip_average=flip_average))


def mirrored(predict: Callable[[Tensor], Predictions], tasks: Mapping[str, Task]) -> Callable[[Tensor], Predictions]:
    """Wrap a predictor to run on left-right mirrored images; its predictions are mirrored back."""

    def predict_mirrored(images: Tensor) -> Predictions:
        found = predict(images.flip(-1))
        return {name: task.mirror(found[name]) for name, task in tasks.items()}

    return predict_mirrored


def average(first: Predictions, second: Predictions) -> Predictions:
    """The mean of two predictions, before they are decoded."""
    return {name: (values + second[name]) / 2 for name, values in first.items()}


def flip_averaged(
    predict: Callable[[Tensor], Predictions], tasks: Mapping[str, Task]
) -> Callable[[Tensor], Predictions]:
    """Wrap a predictor to average its predictions with those for the mirrored images; takes twice as long."""
    return lambda images: average(predict(images), mirrored(predict, tasks)(images))


def constant_predictor(constants: dict[str, Tensor]) -> Callable[[Tensor], Predictions]:
    """A predictor with the same output at every pixel, as the reference that a model has to beat.

    Args:
        constants: Task -> output ``[C]``, from `Task.constant`.
    """

    def predict(images: Tensor) -> Predictions:
        shape = (len(images), -1, *images.shape[-2:])
        return {task: value.to(images.device)[None, :, None, None].expand(shape) for task, value in constants.items()}

    return predict


def mean_gain(scores: Scores, reference: Scores, tasks: dict[str, Task]) -> float:
    """`mean_relative_gain` of the tasks' primary metrics."""
    higher = {name: task.metrics_info[task.primary].higher_is_better for name, task in tasks.items()}
    ours, theirs = (
        {name: found[name].get(task.primary, float("nan")) for name, task in tasks.items()}
        for found in (scores, reference)
    )
    return mean_relative_gain(ours, theirs, higher)


def task_gain(scores: dict[str, float], reference: dict[str, float], task: Task) -> float:
    """`relative_gain` of a task's primary metric."""
    value, base = scores.get(task.primary, float("nan")), reference.get(task.primary, float("nan"))
    return relative_gain(value, base, task.metrics_info[task.primary].higher_is_better)
