"""Generated images before and after joint training, and predictions for them (paper, Figures 7 and 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mgm.errors import RunError
from mgm.functional.levels import shown_as_rgb
from mgm.inference.generate import generate
from mgm.inference.model import TrainedModel
from mgm.report.figures.images import fitted_size, spread_evenly
from mgm.runs.folder import RunFolder
from mgm.runs.saved_generators import STAGES, stages_with_generator
from mgm.tasks.base import Task

SHOWN_PER_SCENE = 4
ANNOTATED_SCENES = 6
ANNOTATED_SIDE = 160
"""Longer side, in pixels, to which annotations are interpolated."""


def has_generator(folder: RunFolder) -> bool:
    """Whether the run has saved a generator yet."""
    return bool(stages_with_generator(folder))


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
class AnnotatedImages:
    """Generated images and the predictions of each annotator for them."""

    images: Tensor
    """``[N, 3, S, S]``, RGB in (-1, 1)."""
    scenes: list[str]
    """The label of each image."""
    values: dict[str, dict[str, Tensor]]
    """Title of the annotator -> task -> decoded values (see `Task.decode_at`) of all images, interpolated."""
    tasks: dict[str, Task]


def annotate_generated(folder: RunFolder) -> AnnotatedImages:
    """Generate one image for each of a few scenes and annotate them with the run's own network.

    If the run was trained on labels of an annotator (`MethodConfig.annotator`), the annotator's predictions are added.

    Raises:
        RunError: If the run has no generator or no weights, or its annotator no longer exists.
    """
    generated = generate(folder.path, 1, device="cpu")
    names = list(generated)
    chosen = spread_evenly(len(names), ANNOTATED_SCENES)
    images = torch.cat([generated[names[index]] for index in chosen])
    own = TrainedModel.load(folder.path, "cpu")
    models = {own.experiment.recipe: own}
    annotator = own.experiment.method.annotator
    if annotator:
        models["annotator"] = TrainedModel.load(annotator, "cpu")
    values: dict[str, dict[str, Tensor]] = {}
    size = fitted_size(images.shape[-2], images.shape[-1], ANNOTATED_SIDE)
    for title, model in models.items():
        predictions = model.predict_batch(images)
        values[title] = {
            name: model.tasks[name].decode_at(predictions[name], size) for name in own.tasks if name in predictions
        }
    images = shown_as_rgb(images, own.info.image)
    return AnnotatedImages(images, [names[index].replace("_", " ") for index in chosen], values, own.tasks)
