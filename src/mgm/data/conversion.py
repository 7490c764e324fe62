"""Conversion of a data source to arrays on disk, chunk by chunk: parallel and resumable."""

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
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource, read_checked
from mgm.data.files import write_text
from mgm.data.manifest import FORMAT_VERSION, MANIFEST, Layouts, info_to_plain
from mgm.data.progress import progress_bar
from mgm.errors import DataError
from mgm.tasks import find_task, task_kinds, tasks_for
from mgm.types import DatasetInfo, Frame, FrameLike

CHUNK_SIZE = 32
"""Samples per chunk: the most that each worker loses when a build is killed."""
MAX_WORKERS = 16
SECONDS_PER_WORKER = 5.0
"""Amount of work that justifies another process, which first has to import torch."""
PLAN = "plan.json"
SKIP_HINT = "; to leave out bad samples, add --skip-bad to mgm train, mgm pretrain or mgm data prepare (mgm data verify lists them)"
_LOGGER = logging.getLogger("mgm")


@dataclass(frozen=True)
class Plan:
    """Everything a worker needs to write its chunks; the same every time a source is converted."""

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
        """Sample indices of a chunk."""
        return range(number * CHUNK_SIZE, min((number + 1) * CHUNK_SIZE, self.count))

    def marker(self, number: int) -> Path:
        """Path of the marker file, which exists once a chunk is on disk."""
        return self.folder / f"chunk-{number:06d}.json"


def sample_layouts(info: DatasetInfo, size: FrameLike, count: int) -> Layouts:
    """Dtypes and shapes of the arrays that hold samples."""
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
    """Total size of arrays on disk in bytes."""
    return sum(np.dtype(dtype).itemsize * prod(shape) for dtype, shape in layouts.values())


def write_samples(
    source: DataSource, size: Frame, folder: Path, workers: int, progress: bool | None, skip_bad: bool
) -> Plan:
    """Write the arrays of all samples into a folder, continuing an interrupted attempt.

    A marker file per chunk records that the chunk's rows are on disk, and which of its samples are bad.

    Raises:
        DataError: If a sample is bad (unless ``skip_bad``), or there is not enough disk space.
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
    """The error for a full or read-only disk."""
    return DataError(
        f"{folder}: cannot be written ({error.strerror}); make room and run again to continue where it stopped"
    )


def discard(folder: Path) -> None:
    """Remove a folder that a conversion has made, if it is there; its plan or manifest goes last, because it is known by that.

    Raises:
        DataError: If the folder holds something else.
    """
    if not folder.exists():
        return
    marks = (folder / PLAN, folder / MANIFEST)
    files = sorted(folder.iterdir(), key=marks.__contains__)
    if files and files[-1] not in marks:
        raise DataError(f"{folder}: is in the way, and is no store that mgm was making or replacing; move it elsewhere")
    for file in files:
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()
    folder.rmdir()


def _lay_out(source: DataSource, size: Frame, folder: Path, skip_bad: bool) -> Plan:
    """Create the arrays, or continue with those of an unfinished conversion of the same data."""
    if len(source) == 0:
        raise DataError(f"{source.info.name}: the data set has no samples")
    layouts = sample_layouts(source.info, size, len(source))
    identity = json.dumps(
        [FORMAT_VERSION, CHUNK_SIZE, info_to_plain(source.info), source.fingerprint, str(size), list(layouts.items())]
    )
    plan_file = folder / PLAN
    try:
        if not (plan_file.is_file() and plan_file.read_text(encoding="utf-8") == identity):
            discard(folder)
            folder.mkdir()
            plan_file.touch()  # so that the folder is known as ours, although its arrays are incomplete
            for name, (dtype, shape) in layouts.items():
                np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
            write_text(plan_file, identity)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return Plan(folder, source.info, size, len(source), layouts, skip_bad)


def _is_done(plan: Plan, number: int) -> bool:
    """Whether a chunk is on disk. A chunk with bad samples only counts if they are skipped."""
    marker = plan.marker(number)
    return marker.exists() and (plan.skip_bad or not json.loads(marker.read_text(encoding="utf-8"))["bad"])


def _check_disk(plan: Plan, pending: list[int]) -> None:
    needed = num_bytes(plan.layouts) * len(pending) / plan.num_chunks
    free = shutil.disk_usage(plan.folder).free
    if needed > free:
        raise DataError(
            f"{plan.folder.parent}: needs {needed / 1e9:.2f} GB but has {free / 1e9:.2f} GB free; make room, or choose "
            "another folder with --out (for the cache: --cache or $MGM_CACHE)"
        )


def _convert_chunks(source: DataSource, plan: Plan, pending: list[int], workers: int) -> Iterator[int]:
    """Convert chunks, in several processes if that is worth their start; yields the number of each finished chunk."""
    if workers == 0 and pending:
        start = time.perf_counter()
        _convert_chunk(source, plan, pending[0])
        seconds = (time.perf_counter() - start) * (len(pending) - 1)
        yield pending[0]
        pending = pending[1:]
        workers = min(num_cores(), MAX_WORKERS, int(seconds / SECONDS_PER_WORKER))
    workers = min(workers, len(pending))
    if workers > 1:
        try:
            for number in _convert_in_processes(source, plan, pending, workers):
                yield number
                pending = pending[1:]
        except WorkersLostError as error:
            _LOGGER.warning("%s; continuing in one process", error)
    for number in pending:
        if not _is_done(plan, number):
            _convert_chunk(source, plan, number)
        yield number


def num_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkersLostError(Exception):
    """A worker process could not be started, or ended too early."""


def _convert_in_processes(source: DataSource, plan: Plan, pending: list[int], workers: int) -> Generator[int]:
    """Convert chunks in worker processes; yields their numbers in order.

    Does not use `multiprocessing`: its workers import the user's main module, so a script without a ``__main__`` guard would run
    again in each of them.

    Raises:
        WorkersLostError: If a process dies, or the source cannot be pickled.
    """
    try:
        work = pickle.dumps(sys.path) + pickle.dumps((source, plan))
    except Exception as error:  # an object that cannot be pickled may raise anything
        raise WorkersLostError(f"the data source cannot be sent to worker processes ({error})") from None
    processes: list[subprocess.Popen[bytes]] = []
    mine = threading.local()

    def convert(number: int) -> int:
        try:
            if not hasattr(mine, "process"):
                mine.process = process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _WORKER],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # so that Ctrl-C reaches only the parent, which ends its workers
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
                    process.kill()  # safe: the chunks they are writing have no marker yet
    finally:
        for process in processes:
            process.communicate()


_WORKER = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); import mgm.data.conversion as c; c.work()"
"""Program that a worker process runs."""


def work() -> None:
    """Convert the chunks whose numbers arrive on standard input; answer each on standard output with a pickled None or exception.

    Ends at the end of its input, so that it does not outlive its parent.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # redirect what a source prints, so that it does not mix with the answers
    try:
        source, plan = pickle.load(sys.stdin.buffer)
    except Exception as error:  # for example, the class is defined in a notebook or script
        sys.exit(f"a worker process cannot load the data source ({error})")
    for line in sys.stdin.buffer:
        answer = None
        try:
            _convert_chunk(source, plan, int(line))
        except Exception as error:  # raised by the parent
            answer = error
        try:
            content = pickle.dumps(answer)
            pickle.loads(content)
        except Exception:  # an exception of a library that cannot be pickled
            content = pickle.dumps(RuntimeError(f"{type(answer).__name__}: {answer}"))
        answers.write(content)
        answers.flush()


def _convert_chunk(source: DataSource, plan: Plan, number: int) -> None:
    """Write the rows of one chunk to every array, then its marker. The rows of bad samples stay zero."""
    rows = plan.chunk(number)
    arrays = {name: np.zeros((len(rows), *shape[1:]), dtype) for name, (dtype, shape) in plan.layouts.items()}
    names, bad = [""] * len(rows), {}
    labelled = [[0] * len(plan.info.tasks) for _ in rows]
    tasks = tasks_for(plan.info) if plan.info.tasks else {}
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
            int(task.valid(task.from_array(arrays[name][row])[None]).any()) for name, task in tasks.items()
        ]
    try:
        for name, values in arrays.items():
            _write_rows(plan.folder / f"{name}.npy", values, rows.start)
        write_text(plan.marker(number), json.dumps({"names": names, "labelled": labelled, "bad": bad}))
    except OSError as error:
        raise cannot_write(plan.folder, error) from error


def _write_rows(file: Path, values: np.ndarray, first_row: int) -> None:
    """Write rows of an array on disk. A memory map is not used: on a full disk it would kill the process."""
    if values.size == 0:
        return
    with file.open("r+b") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        stream.seek(first_row * values[0].nbytes, os.SEEK_CUR)
        stream.write(values.tobytes())
        stream.flush()
        os.fsync(stream.fileno())
