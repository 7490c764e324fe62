"""Interface of data sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mgm.types import DatasetInfo, FrameLike, Sample


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
        """Read one sample at this size; see `mgm.data.images.resize_image` and `mgm.data.targets.resize_target`.

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

    def shape(self, index: int) -> tuple[int, int] | None:
        """Original height and width of a sample's image in pixels; None if samples have no original size."""
        return None

    def remarks(self, index: int) -> tuple[str, ...]:
        """Warnings about the files of a sample that can be read but look suspicious.

        Raises:
            DataError: If a file cannot be read.
        """
        return ()
