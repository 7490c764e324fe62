"""Writing the samples of a data source into arrays, chunk by chunk: in parallel, and resumable."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource
from mgm.data.checking import read_checked
from mgm.data.files import write_text
from mgm.data.manifest import FORMAT_VERSION, Layouts, info_to_plain
from mgm.data.progress import progress_bar
from mgm.errors import DataError
from mgm.tasks import find_task, task_kinds
from mgm.types import DatasetInfo, Frame, FrameLike

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
    frame: Frame
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


def sample_layouts(info: DatasetInfo, size: FrameLike, count: int) -> Layouts:
    """Types and shapes of the arrays that hold samples."""
    layouts: Layouts = {
        "image": (info.image.dtype, (count, info.image.channels, *Frame.of(size).size)),
        "scene": ("float32", (count, len(info.scenes))),
    }
    kinds = task_kinds(info.own_tasks)
    for task in info.tasks:
        kind = find_task(task, kinds)
        layouts[task] = (kind.stored_dtype, (count, *kind.target_shape(size)))
    return layouts


def num_bytes(layouts: Layouts) -> int:
    """Size of arrays on disk."""
    return sum(np.dtype(dtype).itemsize * prod(shape) for dtype, shape in layouts.values())


def write_samples(
    source: DataSource, size: Frame, folder: Path, workers: int, progress: bool | None, skip_bad: bool
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


def _lay_out(source: DataSource, size: Frame, folder: Path, skip_bad: bool) -> Plan:
    """Create the arrays, or continue with those of an unfinished conversion of the same data."""
    if len(source) == 0:
        raise DataError(f"{source.info.name}: has no samples")
    layouts = sample_layouts(source.info, size, len(source))
    identity = json.dumps(
        [FORMAT_VERSION, CHUNK_SIZE, info_to_plain(source.info), source.fingerprint, str(size), list(layouts.items())]
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
    if workers > 1:
        try:
            for number in _convert_in_processes(source, plan, pending, workers):
                yield number
                pending = pending[1:]
        except WorkersLostError as error:
            _LOGGER.warning("%s; going on in one process", error)
    for number in pending:
        if not _is_done(plan, number):
            _convert_chunk(source, plan, number)
        yield number


class WorkersLostError(Exception):
    """A worker process could not be started, or ended before its work was done."""


def _convert_in_processes(source: DataSource, plan: Plan, pending: list[int], workers: int) -> Iterator[int]:
    """Convert chunks in processes of this module's own; yields their numbers in order.

    Not by `multiprocessing`, whose workers import the main module of the user: a script without a guard would start anew
    in each of them.

    Raises:
        WorkersLostError: If a process is lost, or the source cannot be pickled.
    """
    try:
        work = pickle.dumps(sys.path) + pickle.dumps((source, plan))
    except Exception as error:  # objects refuse in ways of their own
        raise WorkersLostError(f"the data source cannot be handed to worker processes ({error})") from None
    processes: list[subprocess.Popen[bytes]] = []
    mine = threading.local()

    def convert(number: int) -> int:
        try:
            if not hasattr(mine, "process"):
                mine.process = process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _WORKER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C reaches the parent alone, which ends its workers
                )
                processes.append(process)
                assert process.stdin
                assert process.stdout
                mine.numbers, mine.answers = process.stdin, process.stdout
                mine.numbers.write(work)
            mine.numbers.write(b"%d\n" % number)
            mine.numbers.flush()
            error = pickle.load(mine.answers)
        except (OSError, EOFError, pickle.UnpicklingError):
            raise WorkersLostError("a worker process of the conversion died") from None
        if error is not None:
            raise error
        return number

    try:
        with ThreadPoolExecutor(workers) as pool:
            try:
                yield from pool.map(convert, pending)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in processes:
                    process.kill()  # nothing is lost: what they are at has no marker yet
    finally:
        for process in processes:
            process.communicate()


_WORKER = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); import mgm.data.conversion as c; c.work()"
"""Program of a worker process."""


def work() -> None:
    """Convert the chunks whose numbers come on standard input; answer each on standard output with None or an exception.

    Ends with its input, so that it does not outlive its parent.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a source prints does not mix with answers
    try:
        source, plan = pickle.load(sys.stdin.buffer)
    except Exception as error:  # a class of a notebook or script, for example
        sys.exit(f"a worker process cannot load the data source ({error})")
    for line in sys.stdin.buffer:
        answer = None
        try:
            _convert_chunk(source, plan, int(line))
        except Exception as error:  # the parent raises it
            answer = error
        try:
            content = pickle.dumps(answer)
            pickle.loads(content)
        except Exception:  # of a library, not made to travel
            content = pickle.dumps(RuntimeError(f"{type(answer).__name__}: {answer}"))
        answers.write(content)
        answers.flush()


def _convert_chunk(source: DataSource, plan: Plan, number: int) -> None:
    """Write one chunk's rows of every array, then its marker; the rows of bad samples stay zero."""
    rows = plan.chunk(number)
    arrays = {name: np.zeros((len(rows), *shape[1:]), dtype) for name, (dtype, shape) in plan.layouts.items()}
    names, bad = [""] * len(rows), {}
    labelled = [[0] * len(plan.info.tasks) for _ in rows]
    kinds = task_kinds(plan.info.own_tasks)
    for row, index in enumerate(rows):
        try:
            sample = read_checked(source, plan.info, index, plan.frame)
        except DataError as error:
            if not plan.skip_bad:
                raise DataError(f"{error}{SKIP_HINT}") from None
            bad[index] = str(error)
            continue
        for name, values in {"image": sample.image, "scene": sample.scene, **sample.targets}.items():
            arrays[name][row] = values
        names[row] = sample.name
        labelled[row] = [
            int(kinds[task].has_labels(sample.targets[task], len(plan.info.classes))) for task in plan.info.tasks
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
