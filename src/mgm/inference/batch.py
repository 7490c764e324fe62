"""Predictions for many images: read and written in threads, so that the device does not wait for the disk."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch
from torch import Tensor

from mgm.data.progress import progress_bar
from mgm.errors import ConfigError, MgmError
from mgm.types import Predictions

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Batches that are loaded, or wait to be written, besides the one that is computed."""


@dataclass
class Throughput:
    """What a pass over many images took."""

    images: int = 0
    """Images whose predictions were written."""
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Item and message, for each one that could not be loaded or written."""
    seconds: float = 0.0
    """From the first to the last."""
    load_s: float = 0.0
    """Spent loading, summed over threads."""
    predict_s: float = 0.0
    """Spent predicting."""
    write_s: float = 0.0
    """Spent writing, summed over threads."""

    @property
    def images_per_second(self) -> float:
        """Rate over all; 0 before anything was done."""
        return self.images / self.seconds if self.seconds else 0.0


def predict_many(
    load: Callable[[T], Tensor],
    predict: Callable[[Tensor], Predictions],
    write: Callable[[T, Predictions], None],
    items: Sequence[T],
    batch_size: int,
    workers: int,
    *,
    pin_memory: bool = False,
    show_progress: bool | None = None,
) -> Throughput:
    """Load, predict and write at the same time, with a bounded number of images in memory.

    Images are computed in batches of ``batch_size`` of one shape (fewer at the end, and where there are many shapes), not
    necessarily in the order of ``items``. An item that fails with an error that a user can fix (`MgmError`, `OSError`)
    is recorded, and the others go on.

    Args:
        load: Item to image ``[C, H, W]``; called in threads.
        predict: Images ``[B, C, H, W]`` to predictions ``[B, ...]``; called in this thread.
        write: Stores the predictions ``[1, ...]`` of one item, on whatever device they are; called in threads.
        items: What to predict; `str` names them in messages.
        batch_size: Images per batch.
        workers: Threads that load, and as many that write.
        pin_memory: Put batches into page-locked memory, so that a CUDA GPU copies while it computes.
        show_progress: Whether to draw a bar; None: if standard error is a terminal.

    Returns:
        Counts, failures and times.

    Raises:
        ConfigError: If ``batch_size`` or ``workers`` is below 1.
    """
    if batch_size < 1 or workers < 1:
        raise ConfigError(f"batch size {batch_size} and {workers} workers: both must be at least 1")
    done = Throughput()
    start = time.perf_counter()
    loaders, writers = ThreadPoolExecutor(workers, "load"), ThreadPoolExecutor(workers, "write")
    try:
        with progress_bar("predicting", len(items), show_progress) as advance:
            writing: deque[_Job[T, None]] = deque()
            for batch in _batches(
                _loaded(loaders, load, items, AHEAD * batch_size + workers, done, advance), batch_size
            ):
                begin = time.perf_counter()
                images = torch.stack([image for _, image in batch])
                predictions = predict(images.pin_memory() if pin_memory else images)
                done.predict_s += time.perf_counter() - begin
                for row, (item, _) in enumerate(batch):
                    own = {task: values[row : row + 1] for task, values in predictions.items()}
                    writing.append(_Job(item, writers.submit(_timed, write, item, own)))
                while len(writing) > AHEAD * batch_size:
                    _finish(writing.popleft(), done, advance)
            while writing:
                _finish(writing.popleft(), done, advance)
    finally:
        # after an error nothing else is begun
        loaders.shutdown(cancel_futures=True)
        writers.shutdown(cancel_futures=True)
    done.seconds = time.perf_counter() - start
    return done


@dataclass
class _Job(Generic[T, R]):
    """Work on an item in a thread."""

    item: T
    future: Future[tuple[R, float]]

    def result(self, done: Throughput) -> tuple[R, float] | None:
        """Its value and how long it took; None, recorded as failed, if a user can fix what went wrong."""
        try:
            return self.future.result()
        except (MgmError, OSError) as error:
            done.failed.append((str(self.item), str(error)))
            return None
        except Exception as error:
            error.add_note(f"while working on {self.item}")
            raise


def _timed(work: Callable[..., R], *arguments: object) -> tuple[R, float]:
    begin = time.perf_counter()
    return work(*arguments), time.perf_counter() - begin


def _finish(job: _Job[T, None], done: Throughput, advance: Callable[[int], None]) -> None:
    written = job.result(done)
    advance(1)
    if written:
        done.images += 1
        done.write_s += written[1]


def _loaded(
    pool: ThreadPoolExecutor,
    load: Callable[[T], Tensor],
    items: Sequence[T],
    ahead: int,
    done: Throughput,
    advance: Callable[[int], None],
) -> Iterator[tuple[T, Tensor]]:
    """Items with their images in order, of which ``ahead`` are loaded before they are asked for."""
    waiting: deque[_Job[T, Tensor]] = deque()
    for number in range(len(items) + ahead):
        if number < len(items):
            waiting.append(_Job(items[number], pool.submit(_timed, load, items[number])))
        if number < ahead or not waiting:
            continue
        job = waiting.popleft()
        loaded = job.result(done)
        if loaded is None:
            advance(1)
            continue
        done.load_s += loaded[1]
        yield job.item, loaded[0]


def _batches(loaded: Iterator[tuple[T, Tensor]], batch_size: int) -> Iterator[list[tuple[T, Tensor]]]:
    """Full batches of one shape; when too many images of several shapes wait, the largest group goes ahead."""
    groups: dict[tuple[int, ...], list[tuple[T, Tensor]]] = {}
    for item, image in loaded:
        group = groups.setdefault(tuple(image.shape), [])
        group.append((item, image))
        if len(group) == batch_size or sum(map(len, groups.values())) >= AHEAD * batch_size:
            largest = max(groups, key=lambda shape: len(groups[shape]))
            yield groups.pop(largest)
    yield from groups.values()
