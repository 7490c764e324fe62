"""Prediction for many images, with reading and writing in threads so that the device does not wait for the disk."""

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
"""Batches to load ahead of the current one, and batches that may wait to be written."""


@dataclass
class Throughput:
    """Counts, failures and time of a pass over many images."""

    images: int = 0
    """Images whose predictions were written."""
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Item and error message of each item that could not be loaded."""
    unwritten: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Item and error message of each item that could not be written."""
    seconds: float = 0.0
    """Wall time in seconds."""

    @property
    def images_per_second(self) -> float:
        """Images per second of wall time; 0 before the pass has ended."""
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
    """Load, predict and write concurrently, with a bounded number of images in memory.

    The images of a batch have the same shape. Batches hold ``batch_size`` images, fewer at the end and where there are many
    shapes; they do not necessarily follow the order of ``items``. If an item fails with an error that a user can fix
    (`MgmError`, `OSError`), the error is recorded and the other items are processed.

    Args:
        load: Maps an item to its image ``[C, H, W]``; called in threads.
        predict: Maps images ``[B, C, H, W]`` to predictions ``[B, ...]``; called in the calling thread.
        write: Stores the predictions ``[1, ...]`` of one item, which are still on their device; called in threads.
        items: The items; error messages name them by `str`.
        batch_size: Images per batch.
        workers: Number of loading threads and, separately, of writing threads.
        pin_memory: Put batches into page-locked memory, so that copying to a CUDA GPU overlaps with computation.
        show_progress: Whether to show a progress bar; None: only if standard error is a terminal.

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
                images = torch.stack([image for _, image in batch])
                predictions = predict(images.pin_memory() if pin_memory else images)
                for row, (item, _) in enumerate(batch):
                    own = {task: values[row : row + 1] for task, values in predictions.items()}
                    writing.append(_Job(item, writers.submit(write, item, own)))
                while len(writing) > AHEAD * batch_size:
                    writing.popleft().result(done.unwritten)
                    advance(1)
            for job in writing:
                job.result(done.unwritten)
                advance(1)
    finally:
        # after an error, pending jobs are cancelled
        loaders.shutdown(cancel_futures=True)
        writers.shutdown(cancel_futures=True)
    done.images = len(items) - len(done.failed) - len(done.unwritten)
    done.seconds = time.perf_counter() - start
    return done


@dataclass
class _Job(Generic[T, R]):
    """A pending load or write of one item in a thread."""

    item: T
    future: Future[R]

    def result(self, failed: list[tuple[str, str]]) -> R | None:
        """Its value; None, with the error recorded in ``failed``, if it failed in a way that a user can fix."""
        try:
            return self.future.result()
        except (MgmError, OSError) as error:
            failed.append((str(self.item), str(error)))
            return None
        except Exception as error:
            error.add_note(f"while working on {self.item}")
            raise


def _loaded(
    pool: ThreadPoolExecutor,
    load: Callable[[T], Tensor],
    items: Sequence[T],
    ahead: int,
    done: Throughput,
    advance: Callable[[int], None],
) -> Iterator[tuple[T, Tensor]]:
    """Yield items with their images in order, loading up to ``ahead`` items in advance."""
    waiting: deque[_Job[T, Tensor]] = deque()
    for number in range(len(items) + ahead):
        if number < len(items):
            waiting.append(_Job(items[number], pool.submit(load, items[number])))
        if number < ahead or not waiting:
            continue
        job = waiting.popleft()
        loaded = job.result(done.failed)
        if loaded is None:
            advance(1)
        else:
            yield job.item, loaded


def _batches(loaded: Iterator[tuple[T, Tensor]], batch_size: int) -> Iterator[list[tuple[T, Tensor]]]:
    """Group images of the same shape into batches; if too many shapes are waiting, the largest group is yielded early."""
    groups: dict[tuple[int, ...], list[tuple[T, Tensor]]] = {}
    for item, image in loaded:
        group = groups.setdefault(tuple(image.shape), [])
        group.append((item, image))
        if len(group) == batch_size or sum(map(len, groups.values())) >= AHEAD * batch_size:
            largest = max(groups, key=lambda shape: len(groups[shape]))
            yield groups.pop(largest)
    yield from groups.values()
