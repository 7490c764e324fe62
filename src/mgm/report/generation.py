"""Generated images before and after joint training, and predictions for them (paper, Figures 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mgm.errors import RunError
from mgm.functional.levels import shown_as_rgb
from mgm.inference.generate import generate
from mgm.inference.model import TrainedModel
from mgm.report.figures.images import fitted_size, image_pixels, spread_evenly, value_pixels
from mgm.report.pictures import LARGEST_SIDE, ImageTable, Picture, TaskTable, input_picture, reduced_size
from mgm.runs.folder import RunFolder
from mgm.runs.saved_generators import STAGES, stages_with_generator

SHOWN_PER_SCENE = 4
MOST_SCENES = 12
"""Largest number of scenes with generated images on a page."""
ANNOTATED_SCENES = 6
ANNOTATED_SIDE = 160
"""Longer side, in pixels, to which annotations are interpolated."""


def before_and_after(folder: RunFolder) -> dict[str, Mapping[str, Tensor]]:
    """Images from the same noise by every saved generator of a run: before and after joint training.

    Returns:
        Title -> scene -> ``[SHOWN_PER_SCENE, 3, S, S]``, RGB in (-1, 1).

    Raises:
        RunError: If there is no generator.
    """
    kind = folder.info().image
    groups: dict[str, Mapping[str, Tensor]] = {
        STAGES[stage]: {
            scene: shown_as_rgb(images, kind)
            for scene, images in generate(folder.path, SHOWN_PER_SCENE, stage=stage, device="cpu").items()
        }
        for stage in reversed(stages_with_generator(folder))
    }
    if not groups:
        raise RunError(f"{folder.path} holds no generator")
    return groups


@dataclass(frozen=True)
class GeneratedTable:
    """Generated images: one row per scene, one group of images per saved generator."""

    groups: list[str]
    rows: list[tuple[str, list[list[np.ndarray]]]]
    """Scene, and the images of each group."""
    omitted: int
    """Number of scenes that are not shown."""


def generated_table(groups: Mapping[str, Mapping[str, Tensor]]) -> GeneratedTable:
    """The images of `before_and_after` for at most `MOST_SCENES` scenes, spaced evenly."""
    scenes = list(next(iter(groups.values())))
    rows: list[tuple[str, list[list[np.ndarray]]]] = []
    for scene in (scenes[index] for index in spread_evenly(len(scenes), MOST_SCENES)):
        images = [
            [image_pixels(image, reduced_size(image, LARGEST_SIDE)) for image in by_scene[scene]]
            for by_scene in groups.values()
        ]
        rows.append((scene.replace("_", " "), images))
    return GeneratedTable(list(groups), rows, len(scenes) - len(rows))


def annotation_table(folder: RunFolder, side: int = LARGEST_SIDE) -> ImageTable:
    """Generate one image for each of a few scenes and annotate them with the run's own network.

    If the run was trained on labels of an annotator (`MethodConfig.annotator`), the annotator's predictions are added.

    Raises:
        RunError: If the run has no generator or no weights, or its annotator no longer exists.
    """
    generated = list(generate(folder.path, 1, device="cpu").items())
    chosen = [generated[index] for index in spread_evenly(len(generated), ANNOTATED_SCENES)]
    scenes = [scene.replace("_", " ") for scene, _ in chosen]
    images = torch.cat([image for _, image in chosen])
    own = TrainedModel.load(folder.path, "cpu")
    models = {own.experiment.recipe: own}
    if own.experiment.method.annotator:
        models["annotator"] = TrainedModel.load(own.experiment.method.annotator, "cpu")
    predictions = {title: model.predict_batch(images) for title, model in models.items()}
    size = fitted_size(images.shape[-2], images.shape[-1], ANNOTATED_SIDE)
    tables: list[TaskTable] = []
    for name, task in own.tasks.items():
        values = {
            title: models[title].tasks[name].decode_at(outputs[name], size)
            for title, outputs in predictions.items()
            if name in outputs
        }
        span = task.span(values.values())
        table = TaskTable(task.title, "", task.legend(list(values.values()), span), [(by, ("",)) for by in values], [])
        for number, scene in enumerate(scenes):
            row: list[list[Picture]] = []
            for by, maps in values.items():
                pixels = value_pixels(task, maps[number], span, reduced_size(maps, side))
                row.append([Picture(pixels, f"{task.title} by {by}, generated {scene}", smooth=True)])
            table.rows.append(row)
        tables.append(table)
    pairs = zip(shown_as_rgb(images, own.info.image), scenes, strict=True)
    return ImageTable([input_picture(image, f"Generated {scene}", scene, side) for image, scene in pairs], tables)
