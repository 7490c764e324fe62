"""The oracle annotator: a trained network whose predictions label the extra images (paper Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.functional.resizing import resize_bilinear
from mgm.method.networks import build_model
from mgm.runs.data import ExperimentData
from mgm.runs.images import check_channels
from mgm.runs.starting_weights import finished_run
from mgm.tasks import tasks_for
from mgm.training.checkpoint import rebuild
from mgm.types import Batch


def make_annotator(experiment: Experiment, data: ExperimentData) -> Callable[[Batch], Batch]:
    """Make the function that labels extra images by the run `MethodConfig.annotator`; the identity if none is set.

    Images are resized to the size that the run's model was trained at, and its predictions are resized back. They replace all
    labels of the images, without gradient; tasks that the model has not learned get no labels.

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
    model = rebuild(lambda: build_model(learned, theirs.model, theirs.seed), folder.best_weights(), folder.path)
    model.to(data.reader.device).eval().requires_grad_(False)

    @torch.no_grad()
    def annotate(batch: Batch) -> Batch:
        size = (batch.images.shape[2], batch.images.shape[3])
        predictions = model(resize_bilinear(batch.images, theirs.data.size))
        targets = {name: task.decode(task.resize(predictions[name], size)) for name, task in tasks.items()}
        return replace(batch, targets=targets)

    return annotate
