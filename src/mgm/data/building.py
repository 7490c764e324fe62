"""Converting a data source into the files of a store: in parallel, resumable, visible only when finished."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np

from mgm.data.base import DataSource
from mgm.data.images import check_labels
from mgm.data.manifest import MANIFEST, Layouts, make_manifest
from mgm.errors import DataError
from mgm.types import DatasetInfo, Sample

CHUNK_SIZE = 32
"""Samples between two markers: what a killed build loses per worker."""
MAX_WORKERS = 16
SECONDS_PER_WORKER = 5.0
"""Less work than this is not worth another process, which imports the main module, perhaps torch, before it works."""
_PLAN = "plan.json"
_LOGGER = logging.getLogger("mgm")


@dataclass(frozen=True)
class _Plan:
    """All that a worker needs to write its part; the same whenever the same source is converted."""

    folder: Path
    info: DatasetInfo
    size: int
    count: int
    layouts: Layouts

    @property
    def num_chunks(self) -> int:
        return ceil(self.count / CHUNK_SIZE)

    def chunk(self, number: int) -> range:
        return range(number * CHUNK_SIZE, min((number + 1) * CHUNK_SIZE, self.count))

    def marker(self, number: int) -> Path:
        return self.folder / f"chunk-{number:06d}.json"

    def num_bytes(self) -> int:
        return sum(np.dtype(dtype).itemsize * prod(shape) for dtype, shape in self.layouts.values())


def convert(source: DataSource, size: int, path: Path, workers: int = 0, progress: bool | None = None) -> None:
    """Write all samples of a source; see `mgm.data.store.build_store`, which guards this with a lock.

    The work is done in ``<path>.partial``, which becomes ``path`` at the end. There, a marker per chunk of samples says
    that the chunk's rows are on disk.

    Raises:
        DataError: If a sample is unreadable or contradicts what the source offers, or the disk is too full.
    """
    plan = _prepare(source, size, path.with_name(f"{path.name}.partial"))
    pending = [number for number in range(plan.num_chunks) if not plan.marker(number).exists()]
    _check_disk(plan, pending)
    with _progress_bar(f"converting {source.info.name}", plan.count, progress) as advance:
        advance(plan.count - sum(len(plan.chunk(number)) for number in pending))
        for number in _convert_chunks(source, plan, pending, workers):
            advance(len(plan.chunk(number)))
    _finish(plan, source, path)


def _prepare(source: DataSource, size: int, folder: Path) -> _Plan:
    """Lay out the arrays, or take up those of an unfinished build of exactly the same."""
    if len(source) == 0:
        raise DataError(f"{source.info.name}: has no samples")
    first = source.read(0, size)
    _check_sample(first, source.info, size, {})
    layouts: Layouts = {
        "image": ("uint8", (len(source), 3, size, size)),
        "scene": ("float32", (len(source), len(source.info.scenes))),
    }
    for task in source.info.tasks:
        layouts[task] = ("uint8" if task == "semantic" else "float16", (len(source), *first.targets[task].shape))
    identity = json.dumps([CHUNK_SIZE, make_manifest(source.info, source.fingerprint, size, [], layouts)])
    plan_file = folder / _PLAN
    if folder.exists() and not (plan_file.is_file() and plan_file.read_text(encoding="utf-8") == identity):
        shutil.rmtree(folder)
    if not folder.exists():
        folder.mkdir()
        for name, (dtype, shape) in layouts.items():
            np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        _write_atomically(plan_file, identity)
    return _Plan(folder, source.info, size, len(source), layouts)


def _check_disk(plan: _Plan, pending: list[int]) -> None:
    needed = plan.num_bytes() * len(pending) / plan.num_chunks
    free = shutil.disk_usage(plan.folder).free
    if needed > free:
        raise DataError(
            f"{plan.folder.parent}: {needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB free; make room, or set "
            "another folder with --data.cache or $MGM_CACHE"
        )


def _convert_chunks(source: DataSource, plan: _Plan, pending: list[int], workers: int) -> Iterator[int]:
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


_worker_state: tuple[DataSource, _Plan] | None = None


def _start_worker(source: DataSource, plan: _Plan) -> None:
    global _worker_state
    _worker_state = (source, plan)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a worker whose parent was killed would wait for work for ever
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _convert_in_worker(number: int) -> int:
    assert _worker_state is not None
    _convert_chunk(*_worker_state, number)
    return number


def _convert_chunk(source: DataSource, plan: _Plan, number: int) -> None:
    """Write one chunk's rows of every array, then its marker."""
    rows = plan.chunk(number)
    samples = [source.read(index, plan.size) for index in rows]
    for sample in samples:
        _check_sample(sample, plan.info, plan.size, plan.layouts)
    columns = {
        "image": [sample.image for sample in samples],
        "scene": [sample.scene for sample in samples],
        **{task: [sample.targets[task] for sample in samples] for task in plan.info.tasks},
    }
    try:
        for name, values in columns.items():
            _write_rows(plan.folder / f"{name}.npy", np.stack(values).astype(plan.layouts[name][0]), rows.start)
        _write_atomically(plan.marker(number), json.dumps([sample.name for sample in samples]))
    except OSError as error:
        raise DataError(f"{plan.folder}: cannot be written ({error.strerror}); make room and start again") from error


def _write_rows(file: Path, values: np.ndarray, first_row: int) -> None:
    """Write by file, not by memory map: there a full disk kills the process instead of raising an error."""
    if values.size == 0:
        return
    header = np.load(file, mmap_mode="r", allow_pickle=False).offset
    with file.open("r+b") as stream:
        stream.seek(header + first_row * values[0].nbytes)
        stream.write(values.tobytes())
        stream.flush()
        os.fsync(stream.fileno())


def _check_sample(sample: Sample, info: DatasetInfo, size: int, layouts: Layouts) -> None:
    """Check one sample against what its source promises and, if ``layouts`` are known, against the first sample.

    Raises:
        DataError: Naming the sample and what is wrong with it.
    """
    where = f"{info.name}, sample {sample.name!r}"
    if sample.image.dtype != np.uint8 or sample.image.shape != (3, size, size):
        raise DataError(
            f"{where}: the image is {sample.image.dtype} {sample.image.shape}, not uint8 (3, {size}, {size})"
        )
    if set(sample.targets) != set(info.tasks):
        raise DataError(f"{where}: has targets {sorted(sample.targets)}, the data set offers {sorted(info.tasks)}")
    for task, target in sample.targets.items():
        if target.ndim != (2 if task == "semantic" else 3) or target.shape[-2:] != (size, size):
            raise DataError(f"{where}: {task} has shape {target.shape}; images are {size} x {size}")
        if layouts and target.shape != layouts[task][1][1:]:
            raise DataError(f"{where}: {task} has shape {target.shape}, the first sample's has {layouts[task][1][1:]}")
        if task == "semantic":
            check_labels(target, len(info.classes), where)
        elif (np.abs(target) > np.finfo(np.float16).max).any():
            raise DataError(f"{where}: {task} is infinite or above 65504; mark pixels without a value by NaN")
    if sample.scene.shape != (len(info.scenes),):
        raise DataError(
            f"{where}: {sample.scene.shape} scene labels, the data set has {len(info.scenes)} scene classes"
        )
    known = sample.scene[~np.isnan(sample.scene)]
    if ((known < 0) | (known > 1)).any() or (not info.multi_hot and len(known) and abs(known.sum() - 1) > 1e-3):
        raise DataError(f"{where}: the scene label is no {'multi-hot' if info.multi_hot else 'one-hot'} vector")


def _finish(plan: _Plan, source: DataSource, path: Path) -> None:
    """Collect the markers into the manifest and put the folder in its place."""
    markers = [plan.marker(number) for number in range(plan.num_chunks)]
    names = [name for marker in markers for name in json.loads(marker.read_text(encoding="utf-8"))]
    manifest = make_manifest(source.info, source.fingerprint, plan.size, names, plan.layouts)
    _write_atomically(plan.folder / MANIFEST, json.dumps(manifest))
    for draft in plan.folder.glob("*.tmp"):  # of workers that were killed while writing
        draft.unlink(missing_ok=True)
    plan.folder.rename(path)
    for file in (*markers, plan.folder / _PLAN):
        (path / file.name).unlink(missing_ok=True)


def _write_atomically(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


@contextmanager
def _progress_bar(title: str, total: int, show: bool | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; yields the function that moves it on."""
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)
