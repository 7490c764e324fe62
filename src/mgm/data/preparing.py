"""``mgm data prepare``: a store under a path of the user's choice, which never replaces anything else by accident."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import final

from mgm.data.base import DataSource, Splits
from mgm.data.conversion import num_bytes, sample_layouts
from mgm.data.manifest import MANIFEST
from mgm.data.store import UNFINISHED, Store, build_store
from mgm.errors import ConfigError, DataError, unknown
from mgm.tasks import SemanticSegmentation
from mgm.types import DatasetInfo, FrameLike, Sample


@final
class SelectedTasks(DataSource):
    """A data set with some of its tasks.

    Args:
        source: The data set.
        tasks: Names of the tasks to keep.

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
        """Of the data set, with the selected tasks alone."""
        info = self._source.info
        own = {name: definition for name, definition in info.own_tasks.items() if name in self._tasks}
        classes = info.classes if SemanticSegmentation.name in self._tasks else ()
        return replace(info, tasks=self._tasks, classes=classes, own_tasks=own)

    @property
    def fingerprint(self) -> dict[str, object]:
        """That of the data set, and the tasks."""
        return {**self._source.fingerprint, "tasks": list(self._tasks)}

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._source)

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

    def remarks(self, index: int) -> tuple[str, ...]:
        """The data set's remarks."""
        return self._source.remarks(index)


def needed_bytes(source: DataSource, size: FrameLike) -> int:
    """Size of a store: its samples and the small arrays."""
    names_and_splits = 200 * len(source)
    return num_bytes(sample_layouts(source.info, size, len(source))) + names_and_splits


def check_target(path: Path, force: bool) -> None:
    """Raise `DataError` unless a store may be made under ``path``."""
    if not path.exists() or (path / UNFINISHED).is_dir():
        return
    if path.is_dir() and all(file.name.startswith(".") or file.name == "lost+found" for file in path.iterdir()):
        return  # empty, or as a disk is when it is mounted
    if not (path.is_dir() and (path / MANIFEST).is_file()):
        raise DataError(f"{path}: is there already and is no store; choose another place with --out")
    if not force:
        raise DataError(f"{path}: is a finished store; choose another place with --out, or replace it with --force")


def prepare_store(
    source: DataSource,
    size: FrameLike,
    path: Path,
    *,
    origin: str = "",
    skip_bad: bool = False,
    force: bool = False,
    workers: int = 0,
    progress: bool | None = None,
) -> Store:
    """`mgm.data.store.build_store` under a path of the user's choice.

    Raises:
        ConfigError: If the number of processes cannot be.
        DataError: If something else is in the place (a finished store is replaced with ``force``, once the new one is
            finished), a sample is bad, or the disk is full.
    """
    if workers < 0:
        raise ConfigError(f"--workers is {workers}; it must be at least 1, or 0 (automatic)")
    check_target(path, force)
    return build_store(
        source, size, path, workers=workers, progress=progress, skip_bad=skip_bad, replace=force, origin=origin
    )


def free_bytes(path: Path) -> int:
    """Room on the disk that will hold ``path``."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free
