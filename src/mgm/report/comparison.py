"""Several trained models on the same test images (paper Figures 4 and 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    """Test images with their labels, and what each model predicts."""

    images: Tensor
    """``[N, 3, H, W]``, RGB in (-1, 1), which other channels are shown as."""
    targets: Targets
    predictions: dict[str, Predictions]
    """Title of a model -> its predictions; a task that it did not learn is absent."""
    tasks: dict[str, Task]
    """All tasks that any of the models learned."""
    names: list[str]
    """Scene of each image; empty where unknown."""

    def target(self, task: str, index: int) -> Tensor | None:
        """The label of one image, without batch dimension; None if it has no valid pixel."""
        if task not in self.targets:
            return None
        target = self.targets[task][index].detach().cpu()
        return target if self.tasks[task].valid(target[None]).any() else None

    def values(self, task: str) -> list[Tensor]:
        """All labels of a task and, decoded, all predictions, each with batch dimension."""
        labels = [self.targets[task].detach().cpu()] if task in self.targets else []
        outputs = [outputs[task].detach().float().cpu() for outputs in self.predictions.values() if task in outputs]
        return labels + [self.tasks[task].decode(output) for output in outputs]


def compare(folders: Mapping[str, RunFolder], count: int = SHOWN_IMAGES, wanted: Sequence[str] = ()) -> Comparison:
    """Predict the same test images with the best weights of several runs, on the CPU.

    Args:
        folders: Title -> run; all of them trained on the same split of the same data.
        count: How many images, spread over the test set: the same for every run on these data.
        wanted: Names of test images (`mgm.runs.images.unique_names`), of which the first are shown instead.

    Raises:
        RunError: If there is no run, one has no weights yet, or they have no test set in common.
        DataError: If the data are no longer there.
    """
    if not folders:
        raise RunError("no run whose predictions could be shown")
    models = {title: TrainedModel.load(folder.path, "cpu") for title, folder in folders.items()}
    frames = {str(model.experiment.data.frame) for model in models.values()}
    if len(frames) > 1:
        raise RunError(f"the runs have no test set in common: image_size is {' and '.join(sorted(frames))}")
    data = open_run_data(next(iter(folders.values())))
    test = _common_test(data, list(folders.values()))
    info = data.info  # an error where labels no longer mean what was learned
    tasks: dict[str, Task] = {}
    for title, model in models.items():
        for name, task in model.tasks.items():
            if type(tasks.setdefault(name, task)) is not type(task):
                raise RunError(f"{title} learned another definition of {name} than the others; show it alone")
    reader = StoreReader(data.store, [name for name in tasks if name in info.tasks])
    chosen = test[spread_evenly(len(test), count)]
    if wanted:
        places = {name: index for index, name in enumerate(unique_names(data.store))}
        chosen = np.array([places[name] for name in wanted if places.get(name, -1) in test][:count], np.int64)
        if not len(chosen):
            raise RunError(f"{', '.join(wanted)}: no longer among the test images of {data.info.name}")
    batch = reader.batch(chosen)
    return Comparison(
        shown_as_rgb(batch.images, info.image),
        batch.targets,
        {title: model.predict_batch(batch.images) for title, model in models.items()},
        tasks,
        [scene_name(row, data.source.info.scenes) for row in batch.scene],
    )


def _common_test(data: RunData, folders: Sequence[RunFolder]) -> np.ndarray:
    """Indices of the images that every run is tested on: with another split, one may have been trained on them."""
    names = unique_names(data.store)
    others = [RunImages.read(folder.images).test for folder in folders]
    test = [
        i
        for i in map(int, data.splits.test)
        if all(images.get(names[i]) == data.images.test[names[i]] for images in others)
    ]
    if not test:
        raise RunError(
            f"{' and '.join(str(folder.path) for folder in folders)} have no test set in common: no image is in that of all"
        )
    return np.array(test)


def scene_name(row: Tensor, scenes: tuple[str, ...]) -> str:
    """The scene, or all objects, of a label row ``[K]``; empty where unknown."""
    return ", ".join(name.replace("_", " ") for name, value in zip(scenes, row, strict=False) if bool(value == 1))
