"""A trained run in use: scores on any data, new images from its generator; predictions are `mgm.experiments.predictor`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mgm.data import open_source
from mgm.data.loading import StoreReader
from mgm.data.store import cached_store
from mgm.errors import ConfigError, unknown
from mgm.experiments.generating import TrainedGenerator
from mgm.experiments.predictor import TrainedModel
from mgm.tasks.base import Task
from mgm.training.evaluate import Scores, evaluate_model
from mgm.types import DatasetInfo

__all__ = ["Evaluation", "TrainedModel", "evaluate_run", "generate"]

SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run and what they were measured on."""

    recipe: str
    info: DatasetInfo
    split: str
    num_images: int
    tasks: dict[str, Task]
    """Tasks that both the run and the data know."""
    scores: Scores


def evaluate_run(run: Path, *, data: str = "", split: str = "", device: str = "auto") -> Evaluation:
    """Score the best model of a run on its own data set or on another one.

    Args:
        run: The run's folder.
        data: Name or path of another data set with the same classes; empty: the run's own.
        split: train, validation, test or all; empty: test for the run's own data, all images of another data set.
        device: Where to compute.

    Raises:
        ConfigError: If the split does not exist, the data sets have no task in common, or the other one has other classes.
    """
    split = split or ("all" if data else "test")
    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    trained = TrainedModel.load(run, device)
    config = trained.experiment.data
    source = open_source(data or config.data, config.num_images)
    tasks = _common_tasks(trained, source.info)
    reader = StoreReader(cached_store(source, config.image_size, config.cache), tuple(tasks), trained.device)
    if split == "all":
        indices = np.arange(len(reader))
    else:
        indices = getattr(source.splits(config.split, config.split_seed), split)
    size = trained.experiment.training.batch_size
    batches = (reader.batch(indices[start : start + size]) for start in range(0, len(indices), size))
    scores = evaluate_model(trained.model, batches, tasks)
    return Evaluation(trained.experiment.recipe, source.info, split, len(indices), tasks, scores)


def _common_tasks(trained: TrainedModel, info: DatasetInfo) -> dict[str, Task]:
    """The run's tasks that the data have labels for; segmentation has to mean the same in both."""
    tasks = {name: task for name, task in trained.tasks.items() if name in info.tasks}
    if not tasks:
        raise ConfigError(
            f"{info.name} has no labels for what the run learned ({', '.join(trained.tasks)}); it offers {', '.join(info.tasks)}"
        )
    if "semantic" in tasks and info.classes != trained.info.classes:
        raise ConfigError(
            f"{info.name} has other classes than {trained.info.name}, which the run learned; "
            "evaluate on data with the same classes, or train with --tasks that leave semantic out"
        )
    return tasks


def generate(run: Path, num: int, *, stage: str = "", seed: int = 0, device: str = "auto") -> Mapping[str, Tensor]:
    """New images from a run's generator, by scene.

    Args:
        run: The run's folder.
        num: Images per scene (with multi-hot labels: for each of the commonest combinations).
        stage: ``generator`` (before joint training) or ``joint`` (after it); empty: the latest there is.
        seed: Seed of the noise; the same noise serves every stage.
        device: Where to compute.

    Returns:
        Scene name -> ``[num, 3, S, S]`` in (-1, 1).

    Raises:
        RunError: If the run trained no generator.
    """
    generator = TrainedGenerator.load(run, stage, device)
    return {name: generator.sample(name, label, num, seed) for name, label in generator.conditions().items()}
