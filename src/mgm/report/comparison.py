"""Predictions of several trained models for the same test images (paper, Figures 4 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from mgm.data.loading import StoreReader
from mgm.errors import RunError
from mgm.functional.levels import shown_as_rgb
from mgm.inference.model import TrainedModel
from mgm.report.figures.images import spread_evenly
from mgm.runs.folder import RunFolder
from mgm.runs.images import RunData, RunImages, open_run_data, unique_names
from mgm.tasks.base import Task
from mgm.types import Predictions, Targets

SHOWN_IMAGES = 4


@dataclass(frozen=True)
class Comparison:
    """Test images with their labels and the predictions of each model."""

    images: Tensor
    """``[N, 3, H, W]``, RGB in (-1, 1); images with other channels are rendered as RGB."""
    targets: Targets
    predictions: dict[str, Predictions]
    """Title of a model -> its predictions, without tasks that it was not trained on."""
    tasks: dict[str, Task]
    """All tasks of any of the models."""
    scenes: list[str]
    """Scene of each image; empty where unknown."""
    names: list[str] = field(default_factory=list[str])
    """Name of each image (`mgm.runs.images.unique_names`), or none at all."""

    def target(self, task: str, index: int) -> Tensor | None:
        """The label of one image, without batch dimension; None if it has no valid pixel."""
        if task not in self.targets:
            return None
        target = self.targets[task][index].detach().cpu()
        return target if self.tasks[task].valid(target[None]).any() else None

    def values(self, task: str) -> list[Tensor]:
        """All labels and decoded predictions of a task, each with batch dimension."""
        labels = [self.targets[task].detach().cpu()] if task in self.targets else []
        outputs = [outputs[task].detach().float().cpu() for outputs in self.predictions.values() if task in outputs]
        return labels + [self.tasks[task].decode(output) for output in outputs]


def compare(folders: Mapping[str, RunFolder], wanted: Sequence[str] = ()) -> Comparison:
    """Predict `SHOWN_IMAGES` test images with the best weights of several runs, on the CPU.

    Args:
        folders: Title -> run; all runs are trained on the same split of the same data.
        wanted: Names of test images (`mgm.runs.images.unique_names`), of which the first are used; by default, images are spaced
            evenly over the test set, so that every run on these data shows the same.

    Raises:
        RunError: If there is no run, one has no weights yet, or they have no test set in common.
        DataError: If the data no longer exist.
    """
    if not folders:
        raise RunError("there is no run to show predictions of")
    models = {title: TrainedModel.load(folder.path, "cpu") for title, folder in folders.items()}
    frames = {str(model.experiment.data.frame) for model in models.values()}
    if len(frames) > 1:
        raise RunError(f"the runs have no test set in common: image_size is {' and '.join(sorted(frames))}")
    data = open_run_data(next(iter(folders.values())))
    test = _common_test(data, list(folders.values()))
    info = data.info  # raises if the meaning of the labels has changed since training
    tasks: dict[str, Task] = {}
    for title, model in models.items():
        for name, task in model.tasks.items():
            if type(tasks.setdefault(name, task)) is not type(task):
                raise RunError(f"{title} was trained with another definition of {name} than the others; show it alone")
    reader = StoreReader(data.store, [name for name in tasks if name in info.tasks])
    names = unique_names(data.store)
    chosen = test[spread_evenly(len(test), SHOWN_IMAGES)]
    if wanted:
        places = {name: index for index, name in enumerate(names)}
        chosen = np.array([places[name] for name in wanted if places.get(name, -1) in test][:SHOWN_IMAGES], np.int64)
        if not len(chosen):
            raise RunError(f"{', '.join(wanted)}: not among the test images of {data.info.name} any more")
    batch = reader.batch(chosen)
    return Comparison(
        shown_as_rgb(batch.images, info.image),
        batch.targets,
        {title: model.predict_batch(batch.images) for title, model in models.items()},
        tasks,
        [scene_name(row, data.source.info.scenes) for row in batch.scene],
        [names[index] for index in map(int, chosen)],
    )


def _common_test(data: RunData, folders: Sequence[RunFolder]) -> np.ndarray:
    """Indices of the images in the test sets of all runs; runs with other splits may have been trained on the rest."""
    names = unique_names(data.store)
    others = [RunImages.read(folder.images).test for folder in folders]
    tested = [names[index] for index in map(int, data.splits.test)]
    shared = [all(test.get(name) == data.images.test[name] for test in others) for name in tested]
    if not any(shared):
        raise RunError(f"{' and '.join(str(folder.path) for folder in folders)} have no test image in common")
    return data.splits.test[shared]


def scene_name(row: Tensor, scenes: tuple[str, ...]) -> str:
    """Name of the scene, or of all objects, in a label vector ``[K]``; empty if unknown."""
    return ", ".join(name.replace("_", " ") for name, value in zip(scenes, row, strict=False) if bool(value == 1))
