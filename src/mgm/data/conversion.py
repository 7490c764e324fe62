"""Writing the samples of a data source into arrays, chunk by chunk: in parallel, and resumable."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource
from mgm.data.checking import read_checked
from mgm.data.files import write_text
from mgm.data.manifest import FORMAT_VERSION, Layouts, info_to_plain
from mgm.data.progress import progress_bar
from mgm.errors import DataError, choose
from mgm.tasks import TASKS
from mgm.types import DatasetInfo

CHUNK_SIZE = 32
"""Samples between two markers: what a killed build loses per worker."""
MAX_WORKERS = 16
SECONDS_PER_WORKER = 5.0
"""Work that makes another process worth its start, in which it imports torch."""
PLAN = "plan.json"
SKIP_HINT = (
    "; bad samples are left out with --skip-bad, of mgm train as of mgm data prepare (mgm data verify lists them)"
)
_LOGGER = logging.getLogger("mgm")


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know to write its chunks; the same whenever the same source is converted."""

    folder: Path
    info: DatasetInfo
    size: int
    count: int
    layouts: Layouts
    skip_bad: bool

    @property
    def num_chunks(self) -> int:
        """Number of chunks."""
        return ceil(self.count / CHUNK_SIZE)

    def chunk(self, number: int) -> range:
        """Samples of a chunk."""
        return range(number * CHUNK_SIZE, min((number + 1) * CHUNK_SIZE, self.count))

    def marker(self, number: int) -> Path:
        """The file that says that a chunk is on disk."""
        return self.folder / f"chunk-{number:06d}.json"


def sample_layouts(info: DatasetInfo, size: int, count: int) -> Layouts:
    """Types and shapes of the arrays that hold samples."""
    layouts: Layouts = {
        "image": ("uint8", (count, 3, size, size)),
        "scene": ("float32", (count, len(info.scenes))),
    }
    for task in info.tasks:
        kind = choose("task", task, TASKS)
        layouts[task] = (kind.stored_dtype, (count, *kind.target_shape(size)))
    return layouts


def num_bytes(layouts: Layouts) -> int:
    """Size of arrays on disk."""
    return sum(np.dtype(dtype).itemsize * prod(shape) for dtype, shape in layouts.values())


def write_samples(
    source: DataSource, size: int, folder: Path, workers: int, progress: bool | None, skip_bad: bool
) -> Plan:
    """Write the arrays of all samples into a folder; continues an attempt that was interrupted.

    A marker per chunk of samples says that the chunk's rows are on disk, and which of its samples are bad.

    Raises:
        DataError: If a sample is bad (unless ``skip_bad``), or the disk is too full.
    """
    plan = _lay_out(source, size, folder, skip_bad)
    pending = [number for number in range(plan.num_chunks) if not _is_done(plan, number)]
    _check_disk(plan, pending)
    with progress_bar(f"converting {source.info.name}", plan.count, progress) as advance:
        advance(plan.count - sum(len(plan.chunk(number)) for number in pending))
        for number in _convert_chunks(source, plan, pending, workers):
            advance(len(plan.chunk(number)))
    return plan


def cannot_write(folder: Path, error: OSError) -> DataError:
    """The error of a full or read-only disk."""
    return DataError(
        f"{folder}: cannot be written ({error.strerror}); make room and start again, it goes on where it stopped"
    )


def _lay_out(source: DataSource, size: int, folder: Path, skip_bad: bool) -> Plan:
    """Create the arrays, or continue with those of an unfinished conversion of the same data."""
    if len(source) == 0:
        raise DataError(f"{source.info.name}: has no samples")
    layouts = sample_layouts(source.info, size, len(source))
    identity = json.dumps(
        [FORMAT_VERSION, CHUNK_SIZE, info_to_plain(source.info), source.fingerprint, size, list(layouts.items())]
    )
    plan_file = folder / PLAN
    try:
        if folder.exists() and not (plan_file.is_file() and plan_file.read_text(encoding="utf-8") == identity):
            shutil.rmtree(folder)
        if not folder.exists():
            folder.mkdir()
            for name, (dtype, shape) in layouts.items():
                np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            write_text(plan_file, identity)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return Plan(folder, source.info, size, len(source), layouts, skip_bad)


def _is_done(plan: Plan, number: int) -> bool:
    """Whether a chunk is on disk. One with bad samples does not count unless they are skipped."""
    marker = plan.marker(number)
    return marker.exists() and (plan.skip_bad or not json.loads(marker.read_text(encoding="utf-8"))["bad"])


def _check_disk(plan: Plan, pending: list[int]) -> None:
    needed = num_bytes(plan.layouts) * len(pending) / plan.num_chunks
    free = shutil.disk_usage(plan.folder).free
    if needed > free:
        raise DataError(
            f"{plan.folder.parent}: {needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB free; make room, or choose "
            "another folder with --out (for the cache: --cache or $MGM_CACHE)"
        )


def _convert_chunks(source: DataSource, plan: Plan, pending: list[int], workers: int) -> Iterator[int]:
    """Convert chunks, in processes if that pays; yields their numbers as they are finished."""
    if workers == 0 and pending:
        start = time.perf_counter()
        _convert_chunk(source, plan, pending[0])
        seconds = (time.perf_counter() - start) * (len(pending) - 1)
        yield pending[0]
        pending = pending[1:]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        workers = min(cores, MAX_WORKERS, int(seconds / SECONDS_PER_WORKER))
    workers = min(workers, len(pending))
    done = 0
    if workers > 1:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (source, plan)) as pool:
            try:
                for number in pool.map(_convert_in_worker, pending):
                    done += 1
                    yield number
            except BrokenProcessPool:
                _LOGGER.warning("the worker processes of the conversion died; going on in one process")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    for number in pending[done:]:
        _convert_chunk(source, plan, number)
        yield number


_worker_state: tuple[DataSource, Plan] | None = None


def _start_worker(source: DataSource, plan: Plan) -> None:
    global _worker_state
    _worker_state = (source, plan)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a worker whose parent was killed would wait for work for ever
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _convert_in_worker(number: int) -> int:
    assert _worker_state is not None
    _convert_chunk(*_worker_state, number)
    return number


def _convert_chunk(source: DataSource, plan: Plan, number: int) -> None:
    """Write one chunk's rows of every array, then its marker; the rows of bad samples stay zero."""
    rows = plan.chunk(number)
    arrays = {name: np.zeros((len(rows), *shape[1:]), dtype) for name, (dtype, shape) in plan.layouts.items()}
    names, bad = [""] * len(rows), {}
    labelled = [[0] * len(plan.info.tasks) for _ in rows]
    for row, index in enumerate(rows):
        try:
            sample = read_checked(source, plan.info, index, plan.size)
        except DataError as error:
            if not plan.skip_bad:
                raise DataError(f"{error}{SKIP_HINT}") from None
            bad[index] = str(error)
            continue
        for name, values in {"image": sample.image, "scene": sample.scene, **sample.targets}.items():
            arrays[name][row] = values
        names[row] = sample.name
        labelled[row] = [
            int(TASKS[task].has_labels(sample.targets[task], len(plan.info.classes))) for task in plan.info.tasks
        ]
    try:
        for name, values in arrays.items():
            _write_rows(plan.folder / f"{name}.npy", values, rows.start)
        write_text(plan.marker(number), json.dumps({"names": names, "labelled": labelled, "bad": bad}))
    except OSError as error:
        raise cannot_write(plan.folder, error) from error


def _write_rows(file: Path, values: np.ndarray, first_row: int) -> None:
    """Write rows of an array on disk. Not through a memory map: on a full disk that would kill the process."""
    if values.size == 0:
        return
    with file.open("r+b") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        stream.seek(first_row * values[0].nbytes, os.SEEK_CUR)
        stream.write(values.tobytes())
        stream.flush()
        os.fsync(stream.fileno())
