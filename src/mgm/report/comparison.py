"""Several trained models on the same test images (paper Figures 4 and 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mgm.config import DataConfig
from mgm.errors import RunError
from mgm.inference.model import TrainedModel
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder
from mgm.tasks.base import Task
from mgm.types import Predictions, Targets

SHOWN_IMAGES = 4


@dataclass(frozen=True)
class Comparison:
    """Test images with their labels, and what each model predicts."""

    images: Tensor
    """``[N, 3, H, W]``, RGB in (-1, 1)."""
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


def compare(folders: Mapping[str, RunFolder], count: int = SHOWN_IMAGES) -> Comparison:
    """Predict the same test images with the best weights of several runs, on the CPU.

    Args:
        folders: Title -> run; all of them trained on the same split of the same data.
        count: How many images, spread over the test set: the same for every run on these data.

    Raises:
        RunError: If there is no run, one has no weights yet, or they have no test set in common.
        DataError: If the data are no longer there.
    """
    if not folders:
        raise RunError("no run whose predictions could be shown")
    models = {title: TrainedModel.load(folder.path, "cpu") for title, folder in folders.items()}
    _check_same_test_set({title: model.experiment.data for title, model in models.items()})
    tasks = tuple(dict.fromkeys(name for model in models.values() for name in model.tasks))
    first = next(iter(models.values())).experiment
    data = load_data(replace(first, data=replace(first.data, tasks=tasks)), torch.device("cpu"), for_training=False)
    test = data.splits.test
    spread = np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(int)
    batch = data.reader.batch(test[spread])
    return Comparison(
        batch.images,
        batch.targets,
        {title: model.predict_batch(batch.images) for title, model in models.items()},
        data.tasks,
        [scene_name(row, data.info.scenes) for row in batch.scene],
    )


def _check_same_test_set(configs: dict[str, DataConfig]) -> None:
    """With another split, a run may have been trained on images that the first is tested on."""
    (title, first), *others = configs.items()
    for other, config in others:
        for field in ("data", "num_images", "split", "split_seed", "image_size"):
            ours, theirs = getattr(first, field), getattr(config, field)
            if ours != theirs:
                raise RunError(
                    f"{title} and {other} have no test set in common: {field} is {ours!r} for one and {theirs!r} for the other"
                )


def scene_name(row: Tensor, scenes: tuple[str, ...]) -> str:
    """The scene, or all objects, of a label row ``[K]``; empty where unknown."""
    return ", ".join(name.replace("_", " ") for name, value in zip(scenes, row, strict=False) if bool(value == 1))
