"""Substitutes for scene labels, for data sets that have none."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mgm.config import Experiment
from mgm.data.store import Store
from mgm.data.targets import classes_in_view
from mgm.functional.distributed import rank
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.types import DatasetInfo

if TYPE_CHECKING:
    from mgm.runs.data import ExperimentData


def scenes_from_segmentation(store: Store, task: str, num_classes: int) -> np.ndarray:
    """Multi-hot labels ``[N, K]`` of the classes in each image's label map; a row of NaN for images without labels."""
    labels = store.arrays[task]
    return np.stack([classes_in_view(labels[index], num_classes) for index in range(len(store))])


def info_with_derived_scenes(info: DatasetInfo, task: str, classes: tuple[str, ...]) -> DatasetInfo:
    """The description of a data set in which the classes of a task serve as scene labels."""
    maps = "label maps" if task not in info.own_tasks else f"label maps of {task}"
    note = f"the classes in view of the {maps} serve as multi-hot labels"
    note = note if info.scenes else f"no scene labels: {note}"
    return replace(info, scenes=classes, multi_hot=True, notes={**info.notes, "scene": note})


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
    name = data.info.name
    if data.num_scenes and (possible or not refines):
        if (refines or conditional) and rank() == 0:
            print(
                f"{name} has no scene labels: the classes in its label maps serve as multi-hot labels", file=sys.stderr
            )
        return experiment
    if (refines or conditional) and rank() == 0:
        reason = "all of its label maps show the same classes" if data.num_scenes else "nothing to make them from"
        parts = ["no refinement"] * refines + ["an unconditional generator"] * (conditional and not data.num_scenes)
        print(f"{name} has no scene labels and {reason}: training with {' and '.join(parts)}", file=sys.stderr)
    return replace(experiment, method=replace(experiment.method, refinement="none"))


def count_kinds(scenes: np.ndarray) -> int:
    """Number of distinct labels among the rows ``[N, K]`` without NaN."""
    known = scenes[~np.isnan(scenes).any(axis=1)]
    return len(np.unique(known, axis=0))
