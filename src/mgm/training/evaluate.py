"""Scores of M over a set of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from mgm.tasks.base import Task, TaskMetrics
from mgm.tasks.metrics import mean_relative_gain, relative_gain
from mgm.types import Batch, Predictions

Scores = dict[str, dict[str, float]]
"""Task -> metric -> value."""
Classes = dict[str, dict[str, dict[str, float]]]
"""Task -> class -> ``iou`` and ``pixels`` (`mgm.tasks.base.ClassScore`), as result files hold them; tasks with classes alone."""


@torch.no_grad()
def measure(
    predict: Callable[[Tensor], Predictions],
    batches: Iterable[Batch],
    tasks: dict[str, Task],
    device: torch.device | str = "cpu",
) -> dict[str, TaskMetrics]:
    """Stream batches through a predictor: task -> metrics that have seen them all, to be read by every process.

    In several processes each passes its own part of the images, which may be none, and all get the scores of the whole.

    Args:
        predict: Images ``[B, 3, H, W]`` to predictions.
        batches: Images with targets; a task without targets in any batch scores NaN.
        tasks: What to score.
        device: Where the batches are.
    """
    meters = {name: task.metrics(device) for name, task in tasks.items()}
    for batch in batches:
        predictions = predict(batch.images)
        for name, meter in meters.items():
            if name in batch.targets:
                meter.update(predictions[name].float(), batch.targets[name])
    return meters


def scores_of(meters: Mapping[str, TaskMetrics]) -> Scores:
    """What metrics say; every process has to ask for every task, since this is where they exchange their sums."""
    return {name: meter.compute() for name, meter in meters.items()}


def classes_of(meters: Mapping[str, TaskMetrics]) -> Classes:
    """What metrics say of single classes; every process has to ask."""
    found = {name: meter.classes() for name, meter in meters.items()}
    return {
        name: {title: asdict(score) for title, score in classes.items()} for name, classes in found.items() if classes
    }


def evaluate(
    predict: Callable[[Tensor], Predictions],
    batches: Iterable[Batch],
    tasks: dict[str, Task],
    device: torch.device | str = "cpu",
) -> Scores:
    """The scores of a predictor; arguments as for `measure`."""
    return scores_of(measure(predict, batches, tasks, device))


def measure_model(model: nn.Module, batches: Iterable[Batch], tasks: dict[str, Task]) -> dict[str, TaskMetrics]:
    """`measure` with a network in evaluation mode; its mode is restored."""
    training = model.training
    model.eval()
    try:
        return measure(model, batches, tasks, next(model.parameters()).device)
    finally:
        model.train(training)


def evaluate_model(model: nn.Module, batches: Iterable[Batch], tasks: dict[str, Task]) -> Scores:
    """`evaluate` with a network in evaluation mode; its mode is restored."""
    return scores_of(measure_model(model, batches, tasks))


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
