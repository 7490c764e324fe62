"""Predictions, generated images and annotations as tables of small images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mgm.report.comparison import Comparison
from mgm.report.figures.images import decoded, error_pixels, fitted_size, image_pixels, image_score, value_pixels
from mgm.report.generation import AnnotatedImages
from mgm.tasks.base import Span, Task
from mgm.tasks.legend import Legend

LARGEST_SIDE = 128
"""Longer side of an embedded image in pixels; the page enlarges smaller ones."""
MOST_SCENES = 12
"""Scenes of which generated images are shown."""
MOST_MAPS = 130
"""Predictions, error maps and labels on a page: with many tasks and models fewer images are shown."""


@dataclass(frozen=True)
class Picture:
    """A small image; without pixels ``alt`` says why there are none."""

    pixels: np.ndarray | None
    alt: str
    text: str = ""
    """What stands below it."""
    smooth: bool = False
    """Whether the page may blend its pixels where it enlarges it."""


@dataclass(frozen=True)
class PredictionTable:
    """One task: a row per image, with the label and, per model, the prediction and its error map."""

    title: str
    legend: Legend
    models: list[str]
    rows: list[tuple[Picture, list[tuple[Picture, Picture]], Picture]]
    """Image, (prediction, errors) per model, label."""


def prediction_tables(shown: Comparison) -> list[PredictionTable]:
    """A table per task, of the same images in the same order; where each image takes many maps, not all images are shown."""
    maps = len(shown.tasks) * (2 * len(shown.predictions) + 1)
    chosen = _spread(len(shown.images), max(2, MOST_MAPS // maps))
    images = {}
    for number, index in enumerate(chosen, 1):
        name = shown.names[index]
        images[index] = _image(shown.images[index], f"Test image {number}{f', {name}' if name else ''}", name)
    return [_prediction_table(shown, name, task, images) for name, task in shown.tasks.items()]


def _prediction_table(shown: Comparison, name: str, task: Task, images: dict[int, Picture]) -> PredictionTable:
    values = shown.values(name)
    span = task.span(values)
    rows = []
    for index, image in images.items():
        target = shown.target(name, index)
        what = f"{task.title.lower()}, {image.alt.lower()}"
        pairs = [
            _prediction(task, outputs[name][index] if name in outputs else None, target, span, f"{title}, {what}")
            for title, outputs in shown.predictions.items()
        ]
        label = Picture(None, "no label")
        if target is not None:
            label = Picture(value_pixels(task, target, span, _size(target)), f"Truth, {what}")
        rows.append((image, pairs, label))
    return PredictionTable(task.title, task.legend(values, span), list(shown.predictions), rows)


def _prediction(
    task: Task, prediction: Tensor | None, target: Tensor | None, span: Span, what: str
) -> tuple[Picture, Picture]:
    """A prediction with its score on this one image, and its error map."""
    if prediction is None:
        return Picture(None, "not predicted"), Picture(None, "")
    pixels = value_pixels(task, decoded(task, prediction, LARGEST_SIDE), span)
    if target is None:
        return Picture(pixels, f"Prediction of {what}", smooth=True), Picture(None, "no label")
    score = f"{task.metrics_info[task.primary].title} {image_score(task, prediction, target)}"
    errors = error_pixels(task, decoded(task, prediction), target, _size(target))
    return Picture(pixels, f"Prediction of {what}: {score}", score, smooth=True), Picture(errors, f"Errors of {what}")


@dataclass(frozen=True)
class GeneratedTable:
    """Generated images: a row per scene, a group of images per point of the training."""

    groups: list[str]
    rows: list[tuple[str, list[list[np.ndarray]]]]
    """Scene, and the images of each group."""
    omitted: int
    """Scenes that are not shown."""


def generated_table(groups: Mapping[str, Mapping[str, Tensor]]) -> GeneratedTable:
    """Images by scene, before and after joint training; of many scenes some, spread over all."""
    scenes = list(next(iter(groups.values())))
    chosen = [scenes[index] for index in _spread(len(scenes), MOST_SCENES)]
    rows = [
        (
            scene.replace("_", " "),
            [[image_pixels(image, _size(image)) for image in images[scene]] for images in groups.values()],
        )
        for scene in chosen
    ]
    return GeneratedTable(list(groups), rows, len(scenes) - len(rows))


@dataclass(frozen=True)
class AnnotationTable:
    """Generated images and their annotations: a row per image, a group of columns per task, a column per annotator."""

    tasks: list[tuple[Legend, list[str]]]
    """Legend, and who annotated."""
    rows: list[tuple[Picture, list[Picture]]]
    """The image, and its annotations in the order of the columns."""


def annotation_table(annotated: AnnotatedImages) -> AnnotationTable:
    """What networks predict on generated images."""
    tasks, columns = [], []
    for name, task in annotated.tasks.items():
        known = {title: values[name] for title, values in annotated.values.items() if name in values}
        span = task.span(known.values())
        tasks.append((task.legend(list(known.values()), span), list(known)))
        for title, values in known.items():
            pictures = []
            for value, scene in zip(values, annotated.scenes, strict=True):
                pixels = value_pixels(task, value, span, _size(value))
                pictures.append(Picture(pixels, f"{task.title} by {title}, generated {scene}", smooth=True))
            columns.append(pictures)
    images = [
        _image(image, f"Generated {scene}", scene)
        for image, scene in zip(annotated.images, annotated.scenes, strict=True)
    ]
    return AnnotationTable(tasks, [(image, [column[row] for column in columns]) for row, image in enumerate(images)])


def _image(image: Tensor, alt: str, text: str) -> Picture:
    return Picture(image_pixels(image, _size(image)), alt, text)


def _spread(available: int, wanted: int) -> list[int]:
    """Indices spread evenly."""
    return np.linspace(0, available - 1, min(wanted, available)).round().astype(int).tolist()


def _size(image: Tensor) -> tuple[int, int]:
    """Height and width at which ``[..., H, W]`` is embedded."""
    height, width = image.shape[-2:]
    return fitted_size(height, width, min(LARGEST_SIDE, max(height, width)))
