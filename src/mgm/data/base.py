"""Interface of data sources, and checks of samples against the declaration of their source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mgm.errors import DataError
from mgm.tasks import find_task, task_kinds
from mgm.types import DatasetInfo, Frame, FrameLike, Sample


@dataclass(frozen=True)
class Splits:
    """Sample indices of the training, validation and test sets: disjoint, each sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @classmethod
    def from_parts(cls, parts: np.ndarray) -> Splits:
        """The splits given by the part of each sample, ``[N]``: 0 train, 1 validation, 2 test; other numbers mean none."""
        return cls(*(np.flatnonzero(parts == part) for part in range(3)))

    def parts(self, count: int) -> np.ndarray:
        """``[count]`` uint8: part of each sample, 0 train, 1 validation, 2 test, 3 none; the inverse of `from_parts`."""
        parts = np.full(count, 3, np.uint8)
        for part, indices in enumerate((self.train, self.validation, self.test)):
            parts[indices] = part
        return parts


class DataSource(ABC):
    """Reads the samples of one data set from its own file format, at any size."""

    split_kinds: tuple[str, ...] = ("random",)
    """Names of the splits; a store keeps all of them."""

    @property
    @abstractmethod
    def info(self) -> DatasetInfo:
        """Name, tasks, classes, scenes and notes of the data set."""

    @property
    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """Plain values that change whenever the samples change (settings, counts, a hash of the files). Used as cache key."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read(self, index: int, size: FrameLike) -> Sample:
        """Read one sample at this size; see `mgm.data.resizing`.

        Raises:
            DataError: If a file is missing, unreadable or inconsistent; the message names the file and the remedy.
        """

    @abstractmethod
    def splits(self, kind: str, seed: int) -> Splits:
        """The split named ``kind`` (one of `split_kinds`).

        Raises:
            ConfigError: If the data set has no such split; the message lists the choices.
        """

    def warnings(self) -> tuple[str, ...]:
        """Warnings about the files as a whole, such as files that are ignored."""
        return ()

    def doubts(self) -> tuple[str, ...]:
        """Suspicious values in the labels of a few samples; `mgm data inspect` looks for them in all samples."""
        return ()

    def shape(self, index: int) -> tuple[int, int] | None:
        """Original height and width of a sample's image in pixels; None if samples have no original size."""
        return None

    def remarks(self, index: int) -> tuple[str, ...]:
        """Warnings about the files of a sample that can be read but look suspicious.

        Raises:
            DataError: If a file cannot be read.
        """
        return ()


def read_checked(source: DataSource, info: DatasetInfo, index: int, size: FrameLike) -> Sample:
    """Read a sample and check it. Raises `DataError` if it is unreadable, or contradicts what the source declares."""
    sample = source.read(index, size)
    check_sample(sample, info, size)
    return sample


def find_bad(source: DataSource, size: FrameLike) -> Iterator[tuple[int, str]]:
    """Decode every sample; yields its index and an error message, empty if the sample is fine."""
    info = source.info
    for index in range(len(source)):
        trouble = ""
        try:
            read_checked(source, info, index, size)
        except DataError as error:
            trouble = str(error)
        yield index, trouble


def check_sample(sample: Sample, info: DatasetInfo, size: FrameLike) -> None:
    """Raise `DataError` if a sample contradicts what its source declares."""
    where = f"{info.name}, sample {sample.name!r}"
    shape = (info.image.channels, *Frame.of(size).size)
    if sample.image.dtype != info.image.dtype or sample.image.shape != shape:
        raise DataError(
            f"{where}: the image is {sample.image.dtype} {sample.image.shape}, not {info.image.dtype} {shape}"
        )
    if set(sample.targets) != set(info.tasks):
        raise DataError(f"{where}: has targets {sorted(sample.targets)}, but the data set offers {sorted(info.tasks)}")
    kinds = task_kinds(info.own_tasks)
    for task, target in sample.targets.items():
        kind = find_task(task, kinds)
        if target.shape != kind.target_shape(size):
            raise DataError(f"{where}: {task} has shape {target.shape}, not {kind.target_shape(size)}")
        kind.check_target(target, len(info.classes), where)
    if sample.scene.shape != (len(info.scenes),):
        raise DataError(
            f"{where}: the scene label has shape {sample.scene.shape}, but the data set has {len(info.scenes)} scene classes"
        )
    known = sample.scene[~np.isnan(sample.scene)]
    if ((known < 0) | (known > 1)).any() or (not info.multi_hot and len(known) and abs(known.sum() - 1) > 1e-3):
        raise DataError(f"{where}: the scene label is not a {'multi-hot' if info.multi_hot else 'one-hot'} vector")
