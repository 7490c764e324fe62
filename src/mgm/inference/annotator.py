"""A trained network in the place of a human annotator: its predictions label the extra images (paper Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.functional.resizing import resize_bilinear
from mgm.inference.model import TrainedModel
from mgm.runs.data import ExperimentData
from mgm.runs.starting_weights import finished_run
from mgm.tasks.base import Task
from mgm.types import Batch


class Annotator:
    """Labels images by the best model of a run. Paper, pilot study: a large network trained on all labels.

    The network sees the images at the side that it was trained at; its predictions are stretched back. What it says
    replaces any labels that the images came with; tasks that it has not learned get none.

    Args:
        trained: The network, on the device of the images.
        tasks: Tasks to label, which it has learned.
    """

    def __init__(self, trained: TrainedModel, tasks: dict[str, Task]) -> None:
        self.trained = trained
        self.tasks = tasks

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """The same images with the network's predictions as targets; no gradient passes."""
        side, size = self.trained.experiment.data.image_size, (batch.images.shape[2], batch.images.shape[3])
        predictions = self.trained.predict_batch(resize_bilinear(batch.images, (side, side)))
        targets = {name: task.decode(task.resize(predictions[name], size)) for name, task in self.tasks.items()}
        return replace(batch, targets=targets)


def make_annotator(experiment: Experiment, data: ExperimentData, device: torch.device) -> Callable[[Batch], Batch]:
    """What labels the extra images of an experiment: the run that it names, or nobody.

    Raises:
        ConfigError: If it has no task in common with the experiment, or its classes mean something else.
        RunError: If there is no such run, or it is not finished.
    """
    run = experiment.method.annotator
    if not run:
        return lambda extra: extra
    trained = TrainedModel.load(finished_run(run, "annotator").path, "cpu")
    tasks = {name: task for name, task in data.tasks.items() if name in trained.tasks}
    if not tasks:
        raise ConfigError(
            f"annotator {run}: it learned {', '.join(trained.tasks)}, this run learns {', '.join(data.tasks)}; "
            "choose a run with a task in common"
        )
    by_class = [name for name, task in tasks.items() if task.uses_classes]
    if by_class and trained.info.classes != data.info.classes:
        raise ConfigError(
            f"annotator {run}: {trained.info.name}, which it learned, has other classes than {data.info.name}; choose a run "
            f"on data with the same classes, or leave {', '.join(by_class)} out of --tasks"
        )
    return Annotator(TrainedModel(trained.experiment, trained.info, trained.model, device), tasks)
