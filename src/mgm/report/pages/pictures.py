"""Predictions, generated images and annotations as tables of small pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mgm.report.comparison import Comparison
from mgm.report.pages.embedding import data_uri
from mgm.report.pages.keys import Key, key
from mgm.report.predictions import image_score
from mgm.report.synthesis import AnnotatedImages
from mgm.report.tiles import coloured, error_map, photograph, predicted
from mgm.tasks.base import Task

LARGEST_SIDE = 128
"""Pixels of the longer side of an embedded picture."""
MOST_SCENES = 12
"""Scenes of which generated images are shown."""
MOST_MAPS = 130
"""Predictions, error maps and truths on a page: with many tasks and models fewer of the images are shown."""


@dataclass(frozen=True)
class Picture:
    """A small picture; ``uri`` is empty where there is nothing to show, and the text says so."""

    uri: str
    alt: str
    text: str = ""
    """What stands below it."""
    smooth: bool = False
    """Whether the page may blend its pixels where it enlarges it."""


@dataclass(frozen=True)
class PredictionRow:
    """One test image."""

    photograph: Picture
    predictions: list[tuple[Picture, Picture]]
    """Per model: the prediction and its error map."""
    truth: Picture


@dataclass(frozen=True)
class PredictionTable:
    """One task: a row per image, two columns per model."""

    title: str
    key: Key
    models: list[str]
    rows: list[PredictionRow]


def prediction_tables(shown: Comparison) -> list[PredictionTable]:
    """A table per task, of the same images in the same order; of many maps per image not all images are shown."""
    maps = len(shown.tasks) * (2 * len(shown.predictions) + 1)
    count = min(len(shown.images), max(2, MOST_MAPS // maps))
    chosen = np.linspace(0, len(shown.images) - 1, count).round().astype(int).tolist()
    photographs = {
        index: _photograph(shown.images[index], shown.names[index], number) for number, index in enumerate(chosen, 1)
    }
    return [_prediction_table(shown, name, task, photographs) for name, task in shown.tasks.items()]


def _photograph(image: Tensor, name: str, number: int) -> Picture:
    return Picture(data_uri(photograph(image, _size(image))), f"Test image {number}{f', {name}' if name else ''}", name)


def _prediction_table(shown: Comparison, name: str, task: Task, photographs: dict[int, Picture]) -> PredictionTable:
    size = _size(shown.images[0])
    rows, values = [], []
    for index, image in photographs.items():
        target = shown.targets[name][index] if name in shown.targets else None
        if target is not None and not task.valid(target[None]).any():
            target = None
        pairs = []
        for title, outputs in shown.predictions.items():
            prediction = outputs[name][index] if name in outputs else None
            if prediction is not None:
                values.append(task.decode(prediction[None])[0])
            pairs.append(
                _prediction_pair(task, prediction, target, size, f"{title}, {task.title.lower()}, {image.alt.lower()}")
            )
        truth = Picture("", "no label")
        if target is not None:
            values.append(target)
            truth = Picture(data_uri(coloured(task, target, size)), f"Truth, {task.title.lower()}, {image.alt.lower()}")
        rows.append(PredictionRow(image, pairs, truth))
    return PredictionTable(task.title, key(task, values, errors=True), list(shown.predictions), rows)


def _prediction_pair(
    task: Task, prediction: Tensor | None, target: Tensor | None, size: tuple[int, int], what: str
) -> tuple[Picture, Picture]:
    """A prediction with its score on this one image, and its error map."""
    if prediction is None:
        return Picture("", "not predicted"), Picture("", "")
    value = task.decode(prediction[None])[0]
    pixels = data_uri(predicted(task, prediction, _shown_size(prediction)))
    if target is None:
        return Picture(pixels, f"Prediction of {what}", smooth=True), Picture("", "no label")
    score = image_score(task, prediction, target)
    errors = data_uri(error_map(task, value, target, size))
    return Picture(pixels, f"Prediction of {what}: {score}", score, True), Picture(errors, f"Errors of {what}")


@dataclass(frozen=True)
class GeneratedTable:
    """Generated images: a row per scene, a group of images per point of the training."""

    groups: list[str]
    rows: list[tuple[str, list[list[str]]]]
    """Scene, and per group the URIs of its images."""
    omitted: int
    """Scenes that are not shown."""


def generated_table(groups: Mapping[str, Mapping[str, Tensor]]) -> GeneratedTable:
    """Images by scene, before and after joint training; of many scenes some, spread over all."""
    scenes = list(next(iter(groups.values())))
    chosen = np.linspace(0, len(scenes) - 1, min(MOST_SCENES, len(scenes))).round().astype(int)
    rows = [
        (
            scenes[index].replace("_", " "),
            [
                [data_uri(photograph(image, _size(image))) for image in images[scenes[index]]]
                for images in groups.values()
            ],
        )
        for index in chosen
    ]
    return GeneratedTable(list(groups), rows, len(scenes) - len(rows))


@dataclass(frozen=True)
class PairsTable:
    """Generated images and their annotations: a row per image, a group of columns per task, a column per annotator."""

    tasks: list[tuple[str, Key, list[str]]]
    """Title, key, and who annotated."""
    rows: list[tuple[Picture, list[Picture]]]
    """The image, and its annotations in the order of the columns."""


def pairs_table(annotated: AnnotatedImages) -> PairsTable:
    """What networks say about generated images."""
    size = _size(annotated.images[0])
    tasks, columns = [], []
    for name, task in annotated.tasks.items():
        known = {title: values[name] for title, values in annotated.values.items() if name in values}
        tasks.append((task.title, key(task, [torch.stack(list(known.values()))], errors=False), list(known)))
        for title, values in known.items():
            columns.append(
                [
                    Picture(
                        data_uri(coloured(task, value, _shown_size(annotated.images[0]))),
                        f"{task.title} by {title}, generated {scene}",
                        smooth=True,
                    )
                    for value, scene in zip(values, annotated.scenes, strict=True)
                ]
            )
    images = [
        Picture(data_uri(photograph(image, size)), f"Generated {scene}", scene)
        for image, scene in zip(annotated.images, annotated.scenes, strict=True)
    ]
    return PairsTable(tasks, [(image, [column[row] for column in columns]) for row, image in enumerate(images)])


def _shown_size(image: Tensor) -> tuple[int, int]:
    """Height and width at which a prediction ``[C, H, W]`` is embedded: about that at which the page shows it."""
    height, width = image.shape[-2:]
    scale = LARGEST_SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _size(image: Tensor) -> tuple[int, int]:
    """Height and width at which an image ``[3, H, W]`` is embedded; the page enlarges it."""
    height, width = image.shape[-2:]
    scale = min(1.0, LARGEST_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))
