"""The oracle annotator: a trained network whose predictions label the extra images (paper Table 1)."""

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
    """Labels images with a trained model (in the paper's pilot study, a large network trained on all labels).

    Images are resized to the size that the model was trained at, and its predictions are resized back. They replace all labels
    of the images; tasks that the model has not learned get no labels.

    Args:
        model: The model, on the device of the images; it is set to evaluation mode and frozen.
        size: Image size that the model was trained at.
        tasks: Tasks to label, which the model has learned.
    """

    def __init__(self, model: MultiTaskModel, size: SizeSetting, tasks: dict[str, Task]) -> None:
        self.model = model.eval().requires_grad_(False)
        self.size = parse_size(size)
        self.tasks = tasks

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Batch:
        """The batch with the model's predictions as targets, without gradient."""
        size = (batch.images.shape[2], batch.images.shape[3])
        predictions = self.model(resize_bilinear(batch.images, self.size))
        targets = {name: task.decode(task.resize(predictions[name], size)) for name, task in self.tasks.items()}
        return replace(batch, targets=targets)


def make_annotator(experiment: Experiment, data: ExperimentData, device: torch.device) -> Callable[[Batch], Batch]:
    """Make the function that labels extra images by the run `MethodConfig.annotator`; the identity if none is set.

    Raises:
        ConfigError: If the run has no task in common with the experiment, or other classes or channels.
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
