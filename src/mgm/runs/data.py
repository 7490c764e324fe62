"""The data of an experiment: conversion, choice of labelled images, and checks of whether there are enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from mgm.config import DataConfig, Experiment
from mgm.data import open_source
from mgm.data.base import Splits
from mgm.data.loading import StoreReader
from mgm.data.rooms import RoomsSource
from mgm.data.splits import labelled_subset, limit_training
from mgm.data.store import cached_store
from mgm.errors import ConfigError, DataError
from mgm.functional.distributed import rank, world_size
from mgm.runs.augmentation import mixing
from mgm.runs.other_data import OtherData, other_data
from mgm.runs.scenes import count_kinds, objects_of, scenes_of_classes
from mgm.runs.splits import EVERYTHING, make_splits, parse_split, strata, warn_once, weak_subset
from mgm.tasks import label_map_of, task_kinds, tasks_for
from mgm.tasks.base import Task
from mgm.tasks.files import HINT_255
from mgm.types import IGNORE_INDEX, Batch, DatasetInfo


@dataclass(frozen=True)
class ExperimentData:
    """The samples of an experiment, their split, and the choice of labelled images.

    Args:
        info: Description of the data set.
        tasks: Task name -> task, the tasks to learn.
        reader: Reads batches of samples by index.
        splits: Training, validation and test indices.
        labelled: Training indices whose labels are used; each has labels for at least one task.
        weak: Other training indices, of which only the scene label is used.
        batch_size: Number of samples per batch of `batches`.
        derived_scenes: Whether the scene labels were derived from the segmentation.
        pretraining: The data set of `DataConfig.pretrain`.
        shape: Height and width of the first image as it was before conversion; None if unknown.
    """

    info: DatasetInfo
    tasks: dict[str, Task]
    reader: StoreReader
    splits: Splits
    labelled: np.ndarray
    weak: np.ndarray
    batch_size: int
    derived_scenes: bool = False
    pretraining: OtherData | None = None
    shape: tuple[int, int] | None = None

    @property
    def num_scenes(self) -> int:
        """Number of scene classes."""
        return len(self.info.scenes)

    def batches(self, indices: np.ndarray) -> Iterator[Batch]:
        """Yield this process's share of the samples in order, without augmentation."""
        return map(self.reader.batch, self._in_order(indices[rank() :: world_size()]))

    @cached_property
    def constants(self) -> dict[str, torch.Tensor]:
        """Task -> best constant prediction ``[C]`` for the labelled images."""
        return {
            name: task.constant(self.reader.target(name, rows) for rows in self._in_order(self.labelled))
            for name, task in self.tasks.items()
        }

    def _in_order(self, indices: np.ndarray) -> Iterator[np.ndarray]:
        return (indices[start : start + self.batch_size] for start in range(0, len(indices), self.batch_size))


def load_data(experiment: Experiment, device: torch.device | str) -> ExperimentData:
    """Open, convert (once, into the cache) and split the data of an experiment; small data are kept on ``device`` as a whole.

    Raises:
        ConfigError: If the settings do not match the data.
        DataError: If the data are missing, damaged, or too few.
    """
    config = experiment.data
    source = open_source(config.data, config.num_images)
    kind, _, _ = parse_split(config.split)
    if kind != EVERYTHING:
        source.splits(kind, config.split_seed)  # raises for an impossible split before anything is converted
    info = source.info
    kinds = task_kinds(info.own_tasks)
    if missing := [name for name in config.tasks if name in kinds and name not in info.tasks]:
        raise ConfigError(f"{info.name} has no labels for {', '.join(missing)}; it offers {', '.join(info.tasks)}")
    tasks = tasks_for(info, config.tasks, experiment.method.losses)
    for warning in (*source.warnings(), *source.doubts()):
        warn_once(f"{info.name}: {warning}")
    # with several processes, one converts and the others wait
    store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    if skipped := store.manifest["skipped"]:
        warn_once(f"{info.name}: {len(skipped)} bad samples are left out, such as {skipped[0]}")
    has = store.labelled(tasks)
    splits = make_splits(store, source, config, has)
    if not isinstance(source, RoomsSource):  # rooms are limited when they are rendered
        splits = limit_training(splits, config.num_images, config.split_seed)
    derived = not info.scenes and label_map_of(tasks)
    info, scenes = scenes_of_classes(store, info, derived or objects_of(config, info))
    reader = StoreReader(store, tuple(tasks), device, scenes=scenes)
    candidates = splits.train[has.sum(axis=1)[splits.train] > 0]
    if not len(candidates):
        raise DataError(f"{info.name}: no training image has a label of {', '.join(tasks)}")
    # stratify by the data set's own scenes, so that the choice does not depend on `weak_labels`
    groups = strata(np.asarray(store.arrays["scene"]), candidates, source.info.multi_hot)
    labelled = labelled_subset(candidates, groups, config.fraction, config.split_seed, has[candidates])
    weak = weak_subset(splits.train, labelled, config.weak_fraction, config.split_seed)
    shape = None
    with suppress(DataError):  # an image that is left out
        shape = source.shape(0)
    data = ExperimentData(
        info, tasks, reader, splits, labelled, weak, experiment.training.batch_size, bool(derived), shape=shape
    )
    if config.pretrain:
        data = replace(data, pretraining=other_data(config, data, config.pretrain, "pretrain"))
    _check_amounts(experiment, data)
    _check_labels(config, data, has)
    mixing(experiment.data, tasks)
    if config.augment and config.hue and info.image.channels != 3:
        raise ConfigError(
            f"hue is {config.hue:g}, a turn of colours, and images of {info.name} have {info.image.channels} channels; use --hue 0"
        )
    return data


def _check_amounts(experiment: Experiment, data: ExperimentData) -> None:
    """Raise `DataError` or `ConfigError` if there are too few images or scene labels for the method."""
    method, training = experiment.method, experiment.training
    if len(data.labelled) < training.batch_size:
        raise DataError(
            f"{data.info.name}: {len(data.labelled)} labelled training images are too few for batches of "
            f"{training.batch_size}; lower --batch-size{' or raise --fraction' if experiment.data.fraction < 1 else ''}"
        )
    if method.extra_images == "weak" and not len(data.weak):
        raise ConfigError(
            "weakly labelled images are what --fraction leaves over, and it is 1; use --fraction 0.5, say"
        )
    if method.refinement == "none":
        return
    if data.num_scenes and not data.derived_scenes and count_kinds(data.reader.scenes[data.labelled]) < 2:
        raise ConfigError(
            f"{data.info.name}: all labelled images have the same scene label, from which the refinement network learns "
            "nothing; use --refinement none, or data with several scenes"
        )


def _check_labels(config: DataConfig, data: ExperimentData, has: np.ndarray) -> None:
    """Raise `DataError` unless every task has labels of several classes to learn; warn if it has none to be scored on.

    ``has`` ``[N, tasks]`` bool says which image has labels for which task.
    """
    name = data.info.name
    for column, (task, kind) in enumerate(data.tasks.items()):
        rest = [other for other in data.tasks if other != task]
        others = f"leave it out: --tasks {' '.join(rest)}" if rest else "there is nothing to learn from these data"
        without = int((~has[data.labelled, column]).sum())
        if without == len(data.labelled):
            more = "raise --fraction, or " if config.fraction < 1 and has[data.splits.train, column].any() else ""
            raise DataError(
                f"{name}: none of the {len(data.labelled)} labelled training images has a label of {task}; {more}{others}"
            )
        if kind.categorical and len(seen := _first_classes(data.reader.store.arrays[task], data.labelled)) < 2:
            only = kind.classes[seen.pop()]
            raise DataError(
                f"{name}: all labels of {task} for training are {only!r}, a single class{HINT_255}; else {others}"
            )
        if 2 * without >= len(data.labelled):
            warn_once(
                f"{name}: {without} of the {len(data.labelled)} labelled training images are without a label of {task}"
            )
        parts = {"validation": data.splits.validation, "test": data.splits.test}
        lacking = [part for part, indices in parts.items() if len(indices) and not has[indices, column].any()]
        if lacking:
            warn_once(f"{name}: no {' or '.join(lacking)} image has a label of {task}, so it is not measured there")


def _first_classes(labels: np.ndarray, indices: np.ndarray) -> set[int]:
    """Collect the classes that occur in some label maps, stopping as soon as there are at least two."""
    found: set[int] = set()
    for index in indices:
        found |= set(np.unique(labels[index]).tolist()) - {IGNORE_INDEX}
        if len(found) > 1:
            break
    return found
