"""Scores of M over a set of images."""

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
"""Images that are named as the worst ones."""
Classes = dict[str, dict[str, dict[str, float]]]
"""Task -> class -> ``iou`` and ``pixels`` (`mgm.tasks.base.ClassScore`), as result files hold them; tasks with classes alone."""


@torch.no_grad()
def measure(
    predict: Callable[[Tensor], Predictions],
    batches: Iterable[Batch],
    tasks: Mapping[str, Task],
    device: torch.device | str = "cpu",
    images: ImageSums | None = None,
) -> dict[str, TaskMetrics]:
    """Stream batches through a predictor: task -> metrics that have seen them all, to be read by every process.

    In several processes each passes its own part of the images, which may be none, and all get the scores of the whole.

    Args:
        predict: Images ``[B, 3, H, W]`` to predictions.
        batches: Images with targets; a task without targets in any batch scores NaN.
        tasks: What to score.
        device: Where the batches are.
        images: Notes down the sums of every single image.
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
    """The sums that scores are made of (`TaskMetrics.image_sums`), image by image, so that images can be resampled afterwards.

    Args:
        tasks: What is scored.
        count: Images of all processes, each of which has every ``world_size``-th.
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
        """Take in the next images of this process."""
        for row in range(len(batch)):
            for name in self.tasks.keys() & batch.targets.keys():
                meter = self.tasks[name].metrics(batch.images.device)
                meter.update(predictions[name][row : row + 1].float(), batch.targets[name][row : row + 1])
                for key, value in meter.image_sums().items():
                    self._sums[f"{name}.{key}"][self._next] = value
            self._next += world_size()

    def arrays(self, device: torch.device) -> dict[str, np.ndarray]:
        """``TASK.SUM`` -> ``[count, n]`` float32; every process has to ask, on its own device."""
        whole = self._sums if world_size() == 1 else {k: global_sum(v.to(device)) for k, v in self._sums.items()}
        return {key: values.cpu().numpy().astype(np.float32) for key, values in whole.items()}


def scores_of(meters: Mapping[str, TaskMetrics]) -> Scores:
    """What metrics say; every process has to ask for every task, since this is where they exchange their sums."""
    return {name: meter.compute() for name, meter in meters.items()}


def classes_of(meters: Mapping[str, TaskMetrics]) -> Classes:
    """What metrics say of single classes; every process has to ask."""
    found = {name: meter.classes() for name, meter in meters.items()}
    return {
        name: {title: asdict(score) for title, score in classes.items()} for name, classes in found.items() if classes
    }


def confusions_of(meters: Mapping[str, TaskMetrics]) -> dict[str, Confusion]:
    """Task -> its confusion matrix, for tasks with classes of which any was seen; every process has to ask for every task."""
    found = {name: meter.confusion() for name, meter in meters.items()}
    return {name: confusion for name, confusion in found.items() if confusion and confusion.classes}


def image_scores(sums: Mapping[str, np.ndarray], tasks: Mapping[str, Task]) -> dict[str, np.ndarray]:
    """Task -> ``[N]``: its primary metric on every single image, from `ImageSums.arrays`; NaN without a label."""
    found: dict[str, np.ndarray] = {}
    for name, task in tasks.items():
        own = {key.removeprefix(f"{name}."): values for key, values in sums.items() if key.startswith(f"{name}.")}
        if own:
            found[name] = type(task.metrics()).from_sums(own)[task.primary]
    return found


def worst_images(scores: Mapping[str, np.ndarray], tasks: Mapping[str, Task], most: int = WORST) -> np.ndarray:
    """Places of the images on which a model errs most, the worst first, by their mean rank over the tasks.

    Args:
        scores: From `image_scores`.
        tasks: Which of their primary metrics is better.
        most: How many.
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
    """The scores of a predictor; arguments as for `measure`."""
    return scores_of(measure(predict, batches, tasks, device))


def measure_model(
    model: nn.Module,
    batches: Iterable[Batch],
    tasks: dict[str, Task],
    images: ImageSums | None = None,
    *,
    flip_average: bool = False,
) -> dict[str, TaskMetrics]:
    """`measure` with a network in evaluation mode, its predictions as they are or `flip_averaged`; its mode is restored."""
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
    """`evaluate` with a network in evaluation mode, as `measure_model`."""
    return scores_of(measure_model(model, batches, tasks, flip_average=flip_average))


def mirrored(predict: Callable[[Tensor], Predictions], tasks: Mapping[str, Task]) -> Callable[[Tensor], Predictions]:
    """A predictor that sees the images mirrored, left and right exchanged; what it says is mirrored back."""

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
    """A predictor that averages with what it predicts for the mirrored images; takes twice as long."""
    return lambda images: average(predict(images), mirrored(predict, tasks)(images))


def constant_predictor(constants: dict[str, Tensor]) -> Callable[[Tensor], Predictions]:
    """A predictor that says the same for every pixel: what a model has to beat.

    Args:
        constants: Task -> ``[C]``, from `Task.constant`.
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
