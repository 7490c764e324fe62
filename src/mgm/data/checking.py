"""Checks of samples against the declaration of their source, and of files against their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource
from mgm.errors import DataError
from mgm.tasks import find_task, task_kinds
from mgm.types import DatasetInfo, Frame, FrameLike, Sample


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


def file_checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_changed(folder: Path, checksums: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Compare files with their SHA-256; yields each name and an error message, empty if the file is unchanged."""
    for name, expected in checksums.items():
        try:
            trouble = "" if file_checksum(folder / name) == expected else "has changed since it was written"
        except OSError as error:
            trouble = f"cannot be read ({error.strerror})"
        yield name, f"{folder / name}: {trouble}; prepare the store again" if trouble else ""
