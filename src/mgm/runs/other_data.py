"""Other data sets with labels that a run learns from too: `DataConfig.pretrain`, and rooms as extra images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from mgm.config import DataConfig
from mgm.data import open_source
from mgm.data.base import Splits
from mgm.data.composites import paste
from mgm.data.manifest import info_to_plain
from mgm.data.rooms import RoomsSource
from mgm.data.store import Store, cached_store, rows_of
from mgm.data.vocabulary import namesakes
from mgm.errors import ConfigError, DataError
from mgm.runs.images import check_channels, listed
from mgm.runs.splits import warn_once
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.types import IGNORE_INDEX, Batch, DatasetInfo

if TYPE_CHECKING:
    from mgm.runs.data import ExperimentData


@dataclass(frozen=True)
class OtherData:
    """Another data set with labels to learn from, converted like the run's own."""

    info: DatasetInfo
    store: Store
    indices: np.ndarray
    """Its training images that are not held out by the run."""

    @property
    def digests(self) -> np.ndarray:
        """Digests of the training images, see `Store.digests`."""
        return self.store.digests[self.indices]

    @property
    def fingerprint(self) -> str:
        """Hash of images, labels, their meaning, and which of them are used."""
        about = json.dumps([self.store.manifest["checksums"], info_to_plain(self.info)], sort_keys=True)
        return hashlib.sha256(about.encode() + self.indices.tobytes()).hexdigest()


def other_data(config: DataConfig, data: ExperimentData, name: str, setting: str) -> OtherData:
    """Open and convert another data set for a run; its images that the run validates or tests on are left out, by content.

    Args:
        config: Settings of the run's data.
        data: The run's data.
        name: Name or path of the other data set.
        setting: The setting that names it, for messages.

    Raises:
        ConfigError: If its images have other channels than the run's.
        DataError: If it is missing or damaged, or nothing of it is left.
    """
    # seed 1 gives other rooms than those of the experiment, whose test images must not be trained on
    source = RoomsSource(config.num_rooms, seed=1) if name == "rooms" else open_source(name)
    check_channels(setting, source.info, data.info)
    store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    train = rows_of(store, source).splits("random", config.split_seed).train
    kept = without_held_out(store, train, data.reader.store, data.splits)
    if len(kept) < len(train):
        warn_once(
            f"{setting} {source.info.name}: {len(train) - len(kept)} of {len(train)} images are left out, since this run validates "
            "or tests on them"
        )
    if not len(kept):
        raise DataError(
            f"{setting} {name}: no image is left that this run does not validate or test on; take other data"
        )
    return OtherData(source.info, store, kept)


def without_held_out(store: Store, indices: np.ndarray, other: Store, splits: Splits) -> np.ndarray:
    """The ``indices`` of images of ``store`` that equal, by content, no validation or test image of ``other``."""
    held_out = other.digests[np.concatenate([splits.validation, splits.test])]
    return indices[~np.isin(store.digests[indices], held_out)]


def translation(
    other: OtherData, data: ExperimentData, recipe: str
) -> tuple[dict[str, Task], Callable[[Batch], Batch]]:
    """How another data set serves a run: the run's tasks that it has labels for, and the translation of its batches.

    Tasks with the same name and meaning are used unchanged. If classes differ, those with the same name are matched, unless no
    training image of the run contains them (NYUv2's otherprop, which is never labelled). Pixels of other classes, and scenes that
    the run does not have, become unlabelled. Logs which labels are used.

    Raises:
        ConfigError: If the data sets have no label in common that is learned.
    """
    info, device = other.info, data.reader.device
    theirs = tasks_for(info)
    said: list[str] = []
    tables: dict[str, torch.Tensor] = {}
    tasks: dict[str, Task] = {}
    for task, kind in data.tasks.items():
        if task not in theirs:
            continue
        if kind.comparable(theirs[task]):
            said.append(task)
        elif shared := _shared_classes(data, task, theirs[task]):
            tables[task] = torch.full((IGNORE_INDEX + 1,), IGNORE_INDEX, device=device)
            tables[task][list(shared)] = torch.tensor(list(shared.values()), device=device)
            others = [title for index, title in enumerate(theirs[task].classes) if index not in shared]
            said.append(f"{task} ({len(shared)} classes by name{f'; not {listed(others)}' if others else ''})")
        else:
            continue
        tasks[task] = kind
    if not tasks:
        raise ConfigError(f"{info.name} and {data.info.name} have no task in common that {recipe} learns")
    left_out = [task for task in data.tasks if task in theirs and task not in tasks]
    scenes = namesakes(info.scenes, data.info.scenes)
    scene_table = torch.zeros(len(info.scenes), max(1, data.num_scenes), device=device)
    scene_table[list(scenes), list(scenes.values())] = 1.0
    warn_once(
        f"{info.name} has labels for {data.info.name}: {', '.join(said)}; scenes: {len(scenes)} of {len(info.scenes)}"
        + (f". Left out, since they mean something else: {', '.join(left_out)}" if left_out else "")
    )

    def translate(batch: Batch) -> Batch:
        translated = {task: table[batch.targets[task]] for task, table in tables.items()}
        scene = batch.scene.nan_to_num(0.0) @ scene_table
        scene = torch.where(scene.sum(1, keepdim=True) > 0, scene, torch.nan)
        return replace(batch, targets=batch.targets | translated, scene=scene)

    return tasks, translate


def _shared_classes(data: ExperimentData, task: str, other: Task) -> dict[int, int]:
    """Class index of another data set's task -> index of the experiment's class with the same name, if a training image has it."""
    shared = namesakes(other.classes, data.tasks[task].classes)
    unseen = set(shared.values())
    for index in data.splits.train:
        if not unseen:
            break
        unseen -= set(np.unique(data.reader.store.arrays[task][index]).tolist())
    return {theirs: ours for theirs, ours in shared.items() if ours not in unseen}


def replaced(ours: Batch, theirs: Batch, which: torch.Tensor, tasks: dict[str, Task]) -> Batch:
    """The batch ``ours``, with the images ``which`` ``[B]`` bool and their labels from ``theirs``, which may lack tasks."""
    height, width = ours.images.shape[2:]
    unlabelled = {
        name: torch.full_like(target, tasks[name].missing_value)
        for name, target in ours.targets.items()
        if name not in theirs.targets
    }
    theirs = replace(theirs, targets=theirs.targets | unlabelled)
    batch = paste(ours, theirs, which[:, None, None].expand(-1, height, width))
    unmixed = None if ours.unmixed is None else torch.where(which[:, None, None, None], theirs.images, ours.unmixed)
    return replace(batch, scene=torch.where(which[:, None], theirs.scene, ours.scene), unmixed=unmixed)
