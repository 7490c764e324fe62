"""The interface of data sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from mgm.types import DatasetInfo, FrameLike, Sample


@dataclass(frozen=True)
class Splits:
    """Indices of the samples for training, model selection and the final test; disjoint, each sorted."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class DataSource(ABC):
    """Reads samples of one data set from its own format, at any size."""

    split_kinds: tuple[str, ...] = ("random",)
    """Names of the splits; a store keeps all of them."""

    @property
    @abstractmethod
    def info(self) -> DatasetInfo:
        """Name, tasks, classes, scenes and notes of the data set."""

    @property
    @abstractmethod
    def fingerprint(self) -> dict[str, object]:
        """Plain values that change whenever the samples change: settings, counts, a hash of the files. Key of the cache."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read(self, index: int, size: FrameLike) -> Sample:
        """One sample as images of this size; see `mgm.data.images.resize_image` and `mgm.data.targets.resize_target`.

        Raises:
            DataError: If a file is missing, unreadable or inconsistent; the message names the file and the remedy.
        """

    @abstractmethod
    def splits(self, kind: str, seed: int) -> Splits:
        """The split called ``kind`` (one of `split_kinds`).

        Raises:
            ConfigError: If the set has no such split; the message lists those it has.
        """

    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the files as a whole before they are used, such as those that are not read."""
        return ()

    def shape(self, index: int) -> tuple[int, int] | None:
        """Height and width of a sample's own picture in pixels; None where it has no size of its own."""
        return None

    def remarks(self, index: int) -> tuple[str, ...]:
        """What looks wrong with the files of a sample although they can be read, in words.

        Raises:
            DataError: If a file cannot be read.
        """
        return ()
