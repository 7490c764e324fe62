"""What a data set holds, counted sample by sample, and what looks wrong about it."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mgm.types import IGNORE_INDEX, DatasetInfo, Sample

FAR_M = 100.0
"""A median depth beyond this is rather in millimetres."""
NEAR_M = 0.05
"""A median depth below this is rather in kilometres, or a share."""
LENGTH_TOLERANCE = 0.05
RARE_CLASS = 1e-4


@dataclass
class TaskStatistics:
    """Of one task over all samples."""

    images: int = 0
    """Samples with any valid pixel."""
    valid: int = 0
    pixels: int = 0
    """Of those samples."""
    lowest: float = np.inf
    highest: float = -np.inf
    by_part: Counter[str] = field(default_factory=Counter)
    """Part of the split -> samples with labels."""

    @property
    def invalid_share(self) -> float:
        """Share of the pixels without a value, of images that have labels."""
        return 1 - self.valid / self.pixels if self.pixels else 0.0


class DatasetStatistics:
    """Streaming counts.

    Args:
        info: What the data set offers.
    """

    def __init__(self, info: DatasetInfo) -> None:
        self.info = info
        self.num_samples = 0
        self.tasks = {task: TaskStatistics() for task in info.tasks}
        self.class_pixels = np.zeros(len(info.classes), np.int64)
        self.class_images = np.zeros(len(info.classes), np.int64)
        self.scenes: dict[str, Counter[str]] = {name: Counter() for name in info.scenes}
        """Scene -> part -> images."""
        self.num_without_scene = 0
        self.suspicious: dict[str, list[str]] = {}
        """What is suspicious -> names of samples."""
        self._seen: dict[bytes, tuple[str, str]] = {}
        self._median_depths: list[float] = []

    def add(self, sample: Sample, part: str) -> None:
        """Take in a sample.

        Args:
            sample: The sample.
            part: train, validation, test, or empty.
        """
        self.num_samples += 1
        self._add_image(sample, part)
        self._add_scene(sample.scene, part)
        for task, target in sample.targets.items():
            valid = target < len(self.info.classes) if task == "semantic" else np.isfinite(target).all(axis=0)
            if not valid.any():
                continue
            statistics = self.tasks[task]
            statistics.images += 1
            statistics.by_part[part] += 1
            statistics.valid += int(valid.sum())
            statistics.pixels += valid.size
            values = target[valid] if task == "semantic" else target[:, valid]
            statistics.lowest = min(statistics.lowest, float(values.min()))
            statistics.highest = max(statistics.highest, float(values.max()))
            if values.min() == values.max() and values.size > 1 and task != "semantic":
                self.suspect(f"{task} is the same everywhere", sample.name)
            self._add_values(task, values, sample.name)

    def suspect(self, what: str, name: str) -> None:
        """Note something suspicious about a sample."""
        self.suspicious.setdefault(what, []).append(name)

    def conclude(self) -> None:
        """Note what only all samples together tell."""
        if self._median_depths:
            median = float(np.median(self._median_depths))
            if median > FAR_M:
                self.suspect(f"the median depth is {median:.0f} m; is it in millimetres?", "")
            elif median < NEAR_M:
                self.suspect(f"the median depth is {median:.2g} m; is it in metres?", "")
        for index, name in enumerate(self.info.classes):
            if self.tasks["semantic"].images and not self.class_pixels[index]:
                self.suspect("class never occurs", name)

    def _add_image(self, sample: Sample, part: str) -> None:
        if sample.image.min() == sample.image.max():
            self.suspect("image has one colour", sample.name)
        digest = hashlib.blake2b(sample.image.tobytes(), digest_size=16).digest()
        other = self._seen.setdefault(digest, (sample.name, part))
        if other[0] == sample.name:
            return
        pair = f"{other[0]} = {sample.name}"
        if other[1] != part:
            self.suspect("same image in two parts of the split", f"{pair} ({other[1]}, {part})")
        else:
            self.suspect("same image twice", pair)

    def _add_scene(self, scene: np.ndarray, part: str) -> None:
        if np.isnan(scene).any() or not len(scene):
            self.num_without_scene += 1
            return
        for index in np.flatnonzero(scene > 0):
            self.scenes[self.info.scenes[index]][part] += 1

    def _add_values(self, task: str, values: np.ndarray, name: str) -> None:
        """Counts and suspicions that belong to one task."""
        if task == "semantic":
            counts = np.bincount(values.astype(np.int64), minlength=IGNORE_INDEX)[: len(self.class_pixels)]
            self.class_pixels += counts
            self.class_images += counts > 0
        elif task == "depth":
            self._median_depths.append(float(np.median(values)))
            if values.min() < 0:
                self.suspect("depth is negative", name)
        elif task == "normal":
            lengths = np.linalg.norm(values.astype(np.float64), axis=0)
            if (np.abs(lengths - 1) > LENGTH_TOLERANCE).mean() > 0.01:
                self.suspect("normals are not of unit length", name)
            elif (values[2] > 0).mean() > 0.5:
                self.suspect("most normals face away from the camera (axes opengl instead of opencv?)", name)
        elif values.min() < 0 or values.max() > 1:
            self.suspect(f"{task} leaves 0..1", name)
