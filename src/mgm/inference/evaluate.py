"""A trained run in use: scores on any data, new images from its generator; predictions are `mgm.inference.model`'s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mgm.data import open_source
from mgm.data.loading import StoreReader
from mgm.data.store import cached_store
from mgm.errors import ConfigError, unknown
from mgm.inference.calibration import Line, calibratable, calibrated, fit_lines
from mgm.inference.generate import TrainedGenerator
from mgm.inference.model import TrainedModel
from mgm.runs.pretraining import pretraining
from mgm.tasks.base import Task
from mgm.training.evaluate import Classes, Scores, classes_of, evaluate, measure, scores_of
from mgm.types import Batch, DatasetInfo

__all__ = ["Calibration", "Evaluation", "TrainedModel", "evaluate_run", "generate"]

SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Calibration:
    """Scale and shift that were fitted on the validation set, and the scores with them."""

    lines: dict[str, Line]
    """Task -> line; the tasks that have a scale."""
    num_images: int
    """Images that they were fitted on."""
    scores: Scores


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
    classes: Classes
    flip_average: bool = False
    calibration: Calibration | None = None
    pretrained: str = ""
    """See `mgm.runs.pretraining`."""

    @property
    def title(self) -> str:
        """What the scores are called in a table."""
        return f"{self.recipe}, flip average" if self.flip_average else self.recipe

    def plain(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        values: dict[str, Any] = {
            "recipe": self.recipe,
            "data": self.info.name,
            "split": self.split,
            "num_images": self.num_images,
            "flip_average": self.flip_average,
            "pretrained": self.pretrained,
            "scores": self.scores,
            "classes": self.classes,
        }
        if self.calibration:
            lines = {name: asdict(line) for name, line in self.calibration.lines.items()}
            fitted = {"fitted_on": "validation", "num_images": self.calibration.num_images, "lines": lines}
            values["calibrated"] = {**fitted, "scores": self.calibration.scores}
        return values


def evaluate_run(
    run: Path,
    *,
    data: str = "",
    split: str = "",
    flip_average: bool = False,
    calibrate: bool = False,
    device: str = "auto",
) -> Evaluation:
    """Score the best model of a run on its own data set or on another one.

    Args:
        run: The run's folder.
        data: Name or path of another data set with the same classes; empty: the run's own.
        split: train, validation, test or all; empty: test for the run's own data, all images of another data set.
        flip_average: Average with the predictions for the mirrored images.
        calibrate: Also score with scale and shift of depth fitted on the validation set of the same data.
        device: Where to compute.

    Raises:
        ConfigError: If the split does not exist, the data sets have no task in common, or the other one has other classes; if
            there is nothing to calibrate, or no image to calibrate on that is not scored.
        DataError: If the validation set has no labels to calibrate on.
    """
    split = split or ("all" if data else "test")
    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    if calibrate and split in ("validation", "all"):
        scored = "all images are" if split == "all" else "the validation set itself is"
        raise ConfigError(
            f"cannot calibrate where {scored} scored: scale and shift are fitted on the validation set, never on what is "
            "scored; use --split test"
        )
    trained = TrainedModel.load(run, device)
    config = trained.experiment.data
    source = open_source(data or config.data, config.num_images)
    tasks = _common_tasks(trained, source.info)
    scaled = calibratable(tasks) if calibrate else {}
    reader = StoreReader(cached_store(source, config.image_size, config.cache), tuple(tasks), trained.device)
    splits = None if split == "all" else source.splits(config.split, config.split_seed)
    indices = np.arange(len(reader)) if splits is None else getattr(splits, split)
    size = trained.experiment.training.batch_size
    predict = partial(trained.predict_batch, flip_average=flip_average)
    meters = measure(predict, _batches(reader, indices, size), tasks, trained.device)
    calibration = None
    if splits is not None and scaled:
        lines = fit_lines(predict, _batches(reader, splits.validation, size), scaled)
        scores = evaluate(calibrated(predict, lines), _batches(reader, indices, size), scaled, trained.device)
        calibration = Calibration(lines, len(splits.validation), scores)
    return Evaluation(
        trained.experiment.recipe,
        source.info,
        split,
        len(indices),
        tasks,
        scores_of(meters),
        classes_of(meters),
        flip_average,
        calibration,
        pretraining(trained.experiment.model),
    )


def _batches(reader: StoreReader, indices: np.ndarray, size: int) -> Iterator[Batch]:
    return (reader.batch(indices[start : start + size]) for start in range(0, len(indices), size))


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
