"""A trained network in the place of a human annotator: its predictions label the extra images (paper Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.functional.resizing import resize_bilinear
from mgm.method.networks import build_model
from mgm.models.base import MultiTaskModel
from mgm.runs.data import ExperimentData
from mgm.runs.images import check_channels
from mgm.runs.starting_weights import finished_run
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.training.checkpoint import SavedModel, load_checkpoint, rebuild
from mgm.types import Batch, SizeSetting, parse_size


class Annotator:
    """Labels images by the best model of a run. Paper, pilot study: a large network trained on all labels.

    The network sees the images at the size that it was trained at; its predictions are stretched back. What it says
    replaces any labels that the images came with; tasks that it has not learned get none.

    Args:
        model: The network, on the device of the images, in evaluation mode.
        size: Of its images.
        tasks: Tasks to label, which it has learned.
    """

    def __init__(self, model: MultiTaskModel, size: SizeSetting, tasks: dict[str, Task]) -> None:
        self.model = model.eval().requires_grad_(False)
        self.size = parse_size(size)
        self.tasks = tasks

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """The same images with the network's predictions as targets; no gradient passes."""
        size = (batch.images.shape[2], batch.images.shape[3])
        predictions = self.model(resize_bilinear(batch.images, self.size))
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
    folder = finished_run(run, "annotator")
    theirs, info = folder.experiment(), folder.info()
    check_channels(f"annotator {run}", info, data.info)
    learned = tasks_for(info, theirs.data.tasks)
    tasks = {name: learned[name] for name in data.tasks if name in learned}
    if not tasks:
        raise ConfigError(
            f"annotator {run}: it learned {', '.join(learned)}, this run learns {', '.join(data.tasks)}; "
            "choose a run with a task in common"
        )
    other = [name for name, task in tasks.items() if not task.comparable(data.tasks[name])]
    if other:
        raise ConfigError(
            f"annotator {run}: {info.name}, which it learned, has other classes than {data.info.name}; choose a run "
            f"on data with the same classes, or leave {', '.join(other)} out of --tasks"
        )
    best = load_checkpoint(folder.checkpoints / "best.pt", SavedModel)
    model = rebuild(lambda: build_model(learned, theirs.model, theirs.seed), best["model"], folder.path)
    return Annotator(model.to(device), theirs.data.size, tasks)
