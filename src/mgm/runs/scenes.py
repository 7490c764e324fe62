"""Substitutes for scene labels, for data sets that have none."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mgm.config import DataConfig, Experiment
from mgm.data.scene_labels import classes_in_view
from mgm.data.store import Store
from mgm.errors import ConfigError
from mgm.functional.distributed import rank
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.tasks import label_map_of, tasks_for
from mgm.types import DatasetInfo

if TYPE_CHECKING:
    from mgm.runs.data import ExperimentData


def objects_of(config: DataConfig, info: DatasetInfo) -> str:
    """The task whose classes in view serve as object labels; empty if these are not requested or the data set has its own."""
    if config.weak_labels != "objects" or info.multi_hot:
        return ""
    seen = label_map_of(tasks_for(info))
    if not seen:
        raise ConfigError(
            f"weak_labels 'objects' are the classes in view of the label maps, and {info.name} has none; use --weak-labels scene"
        )
    return seen


def scenes_of_classes(store: Store, info: DatasetInfo, task: str) -> tuple[DatasetInfo, np.ndarray | None]:
    """The description of a data set in which the classes of a task serve as scene labels, and these; unchanged without a task.

    The labels ``[N, K]`` are multi-hot, for the classes in each image's label map; a row of NaN for images without labels.
    """
    if not task:
        return info, None
    classes, labels = tasks_for(info, (task,))[task].classes, store.arrays[task]
    scenes = np.stack([classes_in_view(labels[index], len(classes)) for index in range(len(store))])
    maps = "label maps" if task not in info.own_tasks else f"label maps of {task}"
    note = f"the classes in view of the {maps} serve as multi-hot labels"
    note = note if info.scenes else f"no scene labels: {note}"
    return replace(info, scenes=classes, multi_hot=True, notes={**info.notes, "scene": note}), scenes


def without_scenes(experiment: Experiment, data: ExperimentData) -> Experiment:
    """Adapt an experiment to data without scene labels, with a message on standard error.

    With derived labels nothing changes, unless all labelled images contain the same classes. Without any labels, the refinement
    network, which predicts them, is left out, and the generator is unconditional.
    """
    if data.num_scenes and not data.derived_scenes:
        return experiment
    refines = experiment.method.refinement != "none"
    possible = data.num_scenes > 0 and count_kinds(data.reader.scenes[data.labelled]) > 1
    conditional = EXTRA_IMAGES[experiment.method.extra_images].generator != "none"
    if data.num_scenes and (possible or not refines):
        said = ": the classes in its label maps serve as multi-hot labels"
    else:
        reason = "all of its label maps show the same classes" if data.num_scenes else "nothing to make them from"
        parts = ["no refinement"] * refines + ["an unconditional generator"] * (conditional and not data.num_scenes)
        said = f" and {reason}: training with {' and '.join(parts)}"
        experiment = replace(experiment, method=replace(experiment.method, refinement="none"))
    if (refines or conditional) and rank() == 0:
        print(f"{data.info.name} has no scene labels{said}", file=sys.stderr)
    return experiment


def count_kinds(scenes: np.ndarray) -> int:
    """Number of distinct labels among the rows ``[N, K]`` without NaN."""
    known = scenes[~np.isnan(scenes).any(axis=1)]
    return len(np.unique(known, axis=0))
