"""Scale and shift of a task's predictions, fitted on images that are not scored.

A photograph does not say how large things are: from other cameras depth comes out too near or too far by a factor. Fitting a
line shows how much of an error that is (Eigen et al., 2014, argue for errors that do not count it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mgm.errors import ConfigError, DataError
from mgm.functional.precision import widest_float
from mgm.tasks.base import Task
from mgm.types import Batch, Predictions


@dataclass(frozen=True)
class Line:
    """``scale * prediction + shift``."""

    scale: float
    shift: float
    """In the task's unit."""


def calibratable(tasks: Mapping[str, Task]) -> dict[str, Task]:
    """The tasks whose predictions may be calibrated.

    Raises:
        ConfigError: If there is none.
    """
    able = {name: task for name, task in tasks.items() if task.calibratable}
    if not able:
        raise ConfigError(
            f"nothing to calibrate: the run predicts {', '.join(tasks)}, none of which has a scale of its own; "
            "leave --calibrate out"
        )
    return able


@torch.no_grad()
def fit_lines(
    predict: Callable[[Tensor], Predictions], batches: Iterable[Batch], tasks: Mapping[str, Task]
) -> dict[str, Line]:
    """Least squares of ``target = scale * prediction + shift`` over all valid pixels.

    Args:
        predict: Images ``[B, 3, H, W]`` to predictions.
        batches: Images with targets, none of which may be scored with the result.
        tasks: From `calibratable`.

    Raises:
        DataError: If a task has no valid pixel in all batches.
    """
    sums: dict[str, list[float]] = {name: [0.0] * 5 for name in tasks}
    for batch in batches:
        predictions = predict(batch.images)
        for name, task in tasks.items():
            if name in batch.targets:
                target = batch.targets[name]
                valid = task.valid(target).unsqueeze(1)
                x, y = (values[valid].to(widest_float(target.device)) for values in (predictions[name], target))
                terms = (valid.sum(), x.sum(), y.sum(), (x * x).sum(), (x * y).sum())
                sums[name] = [total + float(term) for total, term in zip(sums[name], terms, strict=True)]
    return {name: _line(name, *totals) for name, totals in sums.items()}


def _line(task: str, count: float, x: float, y: float, xx: float, xy: float) -> Line:
    if not count:
        raise DataError(f"no pixel to fit scale and shift of {task} on: the validation set has no label of it")
    spread = xx / count - (x / count) ** 2
    # predictions that are all the same say nothing about a scale
    scale = (xy / count - x / count * y / count) / spread if spread > 1e-12 else 1.0
    return Line(scale, (y - scale * x) / count)


def calibrated(predict: Callable[[Tensor], Predictions], lines: Mapping[str, Line]) -> Callable[[Tensor], Predictions]:
    """A predictor whose predictions are moved onto their lines."""

    def moved(images: Tensor) -> Predictions:
        predictions = predict(images)
        return {name: line.scale * predictions[name].float() + line.shift for name, line in lines.items()}

    return moved
