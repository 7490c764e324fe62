"""``mgm data prepare``: what a store at a path chosen by the user may replace and will need, and a selection of tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import final

from mgm.data.base import DataSource, Splits
from mgm.data.conversion import num_bytes, sample_layouts
from mgm.data.manifest import MANIFEST
from mgm.data.store import UNFINISHED
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import SemanticSegmentation
from mgm.types import DatasetInfo, FrameLike, Sample


@final
class SelectedTasks(DataSource):
    """A data set restricted to some of its tasks.

    Raises:
        ConfigError: If the data set does not offer one of them.
    """

    def __init__(self, source: DataSource, tasks: tuple[str, ...]) -> None:
        for task in tasks:
            if task not in source.info.tasks:
                raise ConfigError(unknown(f"task of {source.info.name}", task, source.info.tasks))
        self._source = source
        self._tasks = tuple(task for task in source.info.tasks if task in tasks)
        self.split_kinds = source.split_kinds

    @property
    def info(self) -> DatasetInfo:
        """Info of the data set, with the selected tasks only."""
        info = self._source.info
        own = {name: definition for name, definition in info.own_tasks.items() if name in self._tasks}
        classes = info.classes if SemanticSegmentation.name in self._tasks else ()
        return replace(info, tasks=self._tasks, classes=classes, own_tasks=own)

    @property
    def fingerprint(self) -> dict[str, object]:
        """Fingerprint of the data set, and the tasks."""
        return {**self._source.fingerprint, "tasks": list(self._tasks)}

    def __len__(self) -> int:
        return len(self._source)

    def shape(self, index: int) -> tuple[int, int] | None:
        """Original size of an image; see `DataSource.shape`."""
        return self._source.shape(index)

    def read(self, index: int, size: FrameLike) -> Sample:
        """One sample; see `DataSource.read`."""
        sample = self._source.read(index, size)
        return replace(sample, targets={task: sample.targets[task] for task in self._tasks})

    def splits(self, kind: str, seed: int) -> Splits:
        """The data set's split."""
        return self._source.splits(kind, seed)

    def warnings(self) -> tuple[str, ...]:
        """The data set's warnings."""
        return self._source.warnings()

    def doubts(self) -> tuple[str, ...]:
        """The data set's doubts."""
        return self._source.doubts()

    def remarks(self, index: int) -> tuple[str, ...]:
        """The data set's remarks."""
        return self._source.remarks(index)


def needed_bytes(source: DataSource, size: FrameLike) -> int:
    """Estimated size of a store in bytes: its samples, and about 200 bytes each for names and splits."""
    return num_bytes(sample_layouts(source.info, size, len(source))) + 200 * len(source)


def check_target(path: Path, force: bool) -> None:
    """Raise `DataError` unless a store may be made at ``path``."""
    if not path.exists() or (path / UNFINISHED).is_dir():
        return
    if path.is_dir() and all(file.name.startswith(".") or file.name == "lost+found" for file in path.iterdir()):
        return  # empty, apart from what a freshly mounted disk contains
    if not (path.is_dir() and (path / MANIFEST).is_file()):
        raise DataError(f"{path}: already exists and is not a store; choose another folder with --out")
    if not force:
        raise DataError(f"{path}: is a finished store; choose another folder with --out, or replace it with --force")


def existing_folder(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists; a file made there will be on the same disk."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place
