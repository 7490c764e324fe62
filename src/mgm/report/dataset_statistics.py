"""Statistics of a data set, accumulated sample by sample, and signs of errors in it."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from torch import Tensor

from mgm.tasks import Task, tasks_for
from mgm.tasks.files import HINT_255
from mgm.types import DatasetInfo, Sample

RARE = 2e-4
"""A class with a smaller share of the labelled pixels is suspicious; for comparison, motorcycles in Cityscapes have 1e-3."""
COPIES = "same image in two subsets of the split; random splits keep copies together where they can, given splits do not score them"
DARK = 24
"""Brightest level, of 255, of a suspiciously dark image, such as the 12 bits of a camera stored in 16 without scaling."""


@dataclass
class TaskStatistics:
    """Statistics of the labels of one task over all samples."""

    classes: np.ndarray
    """``[2, K]``: pixels of each class, and images in which it occurs; K is 0 for tasks without classes."""
    images: int = 0
    """Number of samples with any valid pixel; the pixel counts cover only these."""
    valid: int = 0
    pixels: int = 0
    lowest: float = math.inf
    highest: float = -math.inf
    medians: list[float] = field(default_factory=list[float])
    """Median value of each sample."""
    by_part: Counter[str] = field(default_factory=Counter[str])
    """Subset of the split -> number of samples with labels."""


class DatasetStatistics:
    """Accumulates counts and suspicious findings over the samples of a data set.

    Args:
        info: Description of the data set.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.num_samples = 0
        self.tasks: dict[str, Task] = tasks_for(info)
        self.labels = {
            name: TaskStatistics(np.zeros((2, task.channels if task.categorical else 0), np.int64))
            for name, task in self.tasks.items()
        }
        self.scenes: dict[str, Counter[str]] = {name: Counter() for name in info.scenes}
        """Scene -> subset of the split -> number of images."""
        self.num_without_scene = 0
        self.suspicious: dict[str, list[str]] = {}
        """Finding -> names of the affected samples; no names if it concerns the whole data set."""
        self._seen: dict[bytes, tuple[str, str]] = {}

    def add(self, sample: Sample, part: str) -> None:
        """Add a sample; ``part`` is its subset of the split: train, validation, test, or empty."""
        self.num_samples += 1
        self._add_image(sample, part)
        self._add_scene(sample.scene, part)
        for name, array in sample.targets.items():
            self._add_label(name, self.tasks[name].from_array(array)[None], sample.name, part)

    def suspect(self, what: str, name: str = "") -> None:
        """Record a suspicious finding about a sample or, without a name, about the whole data set."""
        self.suspicious.setdefault(what, []).extend([name] if name else [])

    def conclude(self) -> None:
        """Record the findings that need all samples; call it after the last `add`."""
        for name, task in self.tasks.items():
            label = self.labels[name]
            if label.medians and (doubt := task.doubt_about(median(label.medians))):
                self.suspect(doubt)
            counted = label.classes[0]
            if np.count_nonzero(counted) == 1:
                self.suspect(f"only one class occurs, so there is nothing to learn{HINT_255}")
            for title, pixels in zip(task.classes, counted, strict=False):
                if pixels < RARE * counted.sum():
                    artefact = "has hardly any pixels; it may be an artefact of compression or interpolation"
                    self.suspect(f"class {artefact if pixels else 'never occurs'}", title)

    def _add_label(self, name: str, target: Tensor, sample: str, part: str) -> None:
        task, label = self.tasks[name], self.labels[name]
        known = ~task.holes(target)  # also pixels with an invalid value, such as a negative depth
        if not known.any():
            return
        values = target[known] if task.categorical else target.movedim(1, -1)[known]
        label.images += 1
        label.by_part[part] += 1
        label.valid += int(known.sum())
        label.pixels += known.numel()
        label.lowest = min(label.lowest, float(values.min()))
        label.highest = max(label.highest, float(values.max()))
        counts = task.class_counts(target).numpy()
        label.classes += np.stack((counts, counts > 0))
        label.medians += [] if task.categorical else [float(values.median())]
        for what in task.suspicions(target):
            self.suspect(what, sample)

    def _add_image(self, sample: Sample, part: str) -> None:
        if sample.image.min() == sample.image.max():
            self.suspect("image has only one colour", sample.name)
        elif sample.image.max() < DARK * (np.iinfo(sample.image.dtype).max // 255):
            self.suspect(
                "image is nearly black (with 16 bits, 65535 is white, unless rgb declares a range)", sample.name
            )
        digest = hashlib.blake2b(sample.image.tobytes(), digest_size=16).digest()
        other = self._seen.setdefault(digest, (sample.name, part))
        if other[0] == sample.name:
            return
        pair = f"{other[0]} = {sample.name}"
        if other[1] != part:
            self.suspect(COPIES, f"{pair} ({other[1]}, {part})")
        else:
            self.suspect("same image twice", pair)

    def _add_scene(self, scene: np.ndarray, part: str) -> None:
        if np.isnan(scene).any() or not len(scene):
            self.num_without_scene += 1
            return
        for index in np.flatnonzero(scene > 0):
            self.scenes[self.info.scenes[index]][part] += 1
