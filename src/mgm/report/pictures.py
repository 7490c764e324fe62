"""Predictions as tables of small images, for figures and HTML pages."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from mgm.report.comparison import Comparison
from mgm.report.figures.images import (
    decoded,
    error_pixels,
    fitted_size,
    image_pixels,
    image_score,
    spread_evenly,
    value_pixels,
)
from mgm.tasks.base import Span, Task
from mgm.tasks.legend import Legend

LARGEST_SIDE = 128
"""Default longer side of an image in pixels."""
MOST_MAPS = 130
"""Largest number of labels, predictions and error maps on a page."""


@dataclass(frozen=True)
class Picture:
    """A small image in a table."""

    pixels: np.ndarray | None
    """``[H, W, 3]`` uint8; None: there is no image, and ``alt`` states the reason."""
    alt: str
    """Alternative text."""
    text: str = ""
    """Text next to the image."""
    name: str = ""
    """Name of the image in the data set, to be shown as well; empty: unknown, or not an input image."""
    smooth: bool = False
    """Whether the image may be interpolated when it is enlarged."""


@dataclass(frozen=True)
class TaskTable:
    """Table of images for one task, with one row per input image."""

    title: str
    metric: str
    """Title of the metric of the scores; empty if there are no scores."""
    legend: Legend
    groups: list[tuple[str, tuple[str, ...]]]
    """Groups of columns: heading of the group, headings of its columns."""
    rows: list[list[list[Picture]]]
    """Row -> group -> images."""


@dataclass(frozen=True)
class ImageTable:
    """Input images and one table per task, all with one row per image."""

    images: list[Picture]
    tasks: list[TaskTable]


def prediction_table(shown: Comparison, side: int = LARGEST_SIDE, most: int = 0) -> ImageTable:
    """Labels and, for each model, predictions with error maps and per-image scores.

    Args:
        shown: Images and predictions.
        side: Longer side in pixels; predictions are interpolated to it, images, labels and error maps are at most this large.
        most: Largest total number of labels, predictions and error maps; to meet it, only some images are shown, but at least
            two. 0: no limit.
    """
    maps = len(shown.tasks) * (2 * len(shown.predictions) + 1)
    chosen = spread_evenly(len(shown.images), max(2, most // maps) if most else len(shown.images))
    images: dict[int, Picture] = {}
    for number, index in enumerate(chosen, 1):
        name, scene = (texts[index] if index < len(texts) else "" for texts in (shown.names, shown.scenes))
        alt = ", ".join(filter(None, (f"Test image {number}", name, scene)))
        images[index] = replace(input_picture(shown.images[index], alt, scene, side), name=name)
    tasks = [_predictions(shown, name, task, images, side) for name, task in shown.tasks.items()]
    return ImageTable(list(images.values()), tasks)


def _predictions(shown: Comparison, name: str, task: Task, images: dict[int, Picture], side: int) -> TaskTable:
    values = shown.values(name)
    span = task.span(values)
    rows: list[list[list[Picture]]] = []
    for index, image in images.items():
        target = shown.target(name, index)
        what = f"{task.title.lower()}, {image.alt[0].lower()}{image.alt[1:]}"
        label = Picture(None, "no label")
        if target is not None:
            label = Picture(value_pixels(task, target, span, reduced_size(target, side)), f"Truth, {what}")
        predicted = [
            _prediction(task, outputs[name][index], target, span, f"{title}, {what}", side)
            if name in outputs
            else [Picture(None, "not predicted"), Picture(None, "")]
            for title, outputs in shown.predictions.items()
        ]
        rows.append([[label], *predicted])
    groups = [("truth", ("",)), *((title, ("prediction", "error")) for title in shown.predictions)]
    metric = task.metrics_info[task.primary].title
    return TaskTable(task.title, metric, task.legend(values, span), groups, rows)


def _prediction(
    task: Task, prediction: Tensor, target: Tensor | None, span: Span, what: str, side: int
) -> list[Picture]:
    """A prediction, and its error map with the score; without a label only the prediction."""
    pixels = value_pixels(task, decoded(task, prediction, side), span)
    shown = Picture(pixels, f"Prediction of {what}", smooth=True)
    if target is None:
        return [shown, Picture(None, "no label")]
    errors = error_pixels(task, decoded(task, prediction), target, reduced_size(target, side))
    score = image_score(task, prediction, target)
    return [shown, Picture(errors, f"Errors of {what}: {task.metrics_info[task.primary].title} {score}", score)]


def input_picture(image: Tensor, alt: str, text: str, side: int) -> Picture:
    """An image ``[3, H, W]``, RGB in (-1, 1), whose longer side is at most ``side``."""
    return Picture(image_pixels(image, reduced_size(image, side)), alt, text)


def reduced_size(image: Tensor, side: int) -> tuple[int, int]:
    """Size at which ``[..., H, W]`` is shown: its longer side is at most ``side``, and it is not enlarged."""
    height, width = image.shape[-2:]
    return fitted_size(height, width, min(side, max(height, width)))
