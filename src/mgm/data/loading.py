"""Training batches from a store. The samples of a step depend only on its number, so that resumed runs see the same data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from mgm.data.store import Store
from mgm.errors import ConfigError, DataError, unknown
from mgm.functional.levels import level_centre
from mgm.functional.transfer import to_device
from mgm.types import Batch

RESIDENT_BYTES = 2_000_000_000
"""Data of at most this size are kept on the device; larger data are read from disk, batch by batch."""


class StoreReader:
    """Reads batches of a store to a device.

    Args:
        store: An open store.
        tasks: Tasks whose targets are read; empty: images and scene labels only.
        device: Device of the batches.
        resident_bytes: Data of at most this size are kept on the device, in the compact dtypes of the store.
        scenes: ``[N, K]`` float32 scene labels that replace those of the store.

    Raises:
        ConfigError: If the store has no such task.
    """

    def __init__(
        self,
        store: Store,
        tasks: Sequence[str],
        device: torch.device | str = "cpu",
        resident_bytes: int = RESIDENT_BYTES,
        scenes: np.ndarray | None = None,
    ) -> None:
        for task in tasks:
            if task not in store.info.tasks:
                raise ConfigError(unknown(f"task of data set {store.info.name}", task, store.info.tasks))
        self.store = store
        self.tasks = tuple(tasks)
        self.device = torch.device(device)
        self.is_resident = store.num_bytes(tasks) <= resident_bytes
        """Whether all samples are kept on the device."""
        self._resident: dict[str, Tensor] = {}
        if self.is_resident:
            for name in ("image", *self.tasks):
                self._resident[name] = torch.from_numpy(np.array(store.arrays[name])).to(self.device)
        self.scenes = np.array(store.arrays["scene"]) if scenes is None else scenes
        """``[N, K]`` float32, the scene labels of all samples."""
        self._resident["scene"] = torch.from_numpy(self.scenes).to(self.device)

    def __len__(self) -> int:
        return len(self.store)

    def batch(self, indices: np.ndarray | Sequence[int], *, targets: bool = True) -> Batch:
        """Read the samples with these indices ``[B]``, in this order, without targets if so wanted; an index may be repeated.

        Raises:
            DataError: If an index is out of range.
        """
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise DataError(
                f"sample indices from {rows.min()} to {rows.max()} were requested, but {self.store.path} has {len(self)} samples"
            )
        on_device = to_device(torch.from_numpy(rows), self.device)
        levels = self._rows("image", rows, on_device)
        images = levels.float().div_(level_centre(levels.dtype)).sub_(1)
        found = {task: _as_target(self._rows(task, rows, on_device)) for task in (self.tasks if targets else ())}
        return Batch(images, found, self._rows("scene", rows, on_device))

    def target(self, task: str, rows: np.ndarray) -> Tensor:
        """Read the targets of one task alone, see `mgm.types.Targets`, for valid indices ``rows`` ``[B]``."""
        return _as_target(self._rows(task, rows, to_device(torch.from_numpy(rows), self.device)))

    def _rows(self, name: str, rows: np.ndarray, on_device: Tensor) -> Tensor:
        if name in self._resident:
            # index_select: indexing by `[rows]` is 22 times slower on uint8
            values = self._resident[name]
            if values.dtype == torch.uint16:  # torch has few GPU kernels for uint16
                return values.view(torch.int16).index_select(0, on_device).view(torch.uint16)
            return values.index_select(0, on_device)
        return torch.from_numpy(np.asarray(self.store.arrays[name][rows])).to(self.device)


def _as_target(stored: Tensor) -> Tensor:
    return stored.long() if stored.dtype == torch.uint8 else stored.float()


class Prefetch:
    """Loads batches by step; a thread loads the next batch while the current one is used.

    ``load`` maps step and number of samples to the batch; it must not depend on anything else.
    """

    def __init__(self, load: Callable[[int, int], Batch]) -> None:
        self._load = load
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mgm-prefetch")
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None

    def __call__(self, step: int, count: int) -> Batch:
        """The batch of a step; already loaded if the previous call was for the preceding step."""
        wanted, ready = (step, count), self._next
        batch = ready[1].result() if ready and ready[0] == wanted else self._load(step, count)
        self._next = ((step + 1, count), self._thread.submit(self._load, step + 1, count))
        return batch


def epoch_indices(
    indices: np.ndarray, batch_size: int, step: int, seed: int, *, rank: int = 0, world_size: int = 1
) -> np.ndarray:
    """Sample indices of a training step; a pure function, so that a resumed run sees the same samples.

    Epochs are random permutations of ``indices``, concatenated; step ``t`` takes the ``t``-th block of ``batch_size``. A batch
    may span two epochs, so every batch is full and every sample is seen once per epoch.

    Args:
        indices: ``[N]`` samples to draw from.
        batch_size: Samples per step over all processes.
        step: Number of the step, from 0.
        seed: Seed, at least 0.
        rank: Rank of this process.
        world_size: Number of processes; each gets an equal slice of the batch.

    Returns:
        ``[batch_size / world_size]`` indices.

    Raises:
        DataError: If there are fewer samples than the batch size, or it is not a multiple of the number of processes.
    """
    if len(indices) < batch_size or batch_size < 1:
        raise DataError(
            f"too few images for the batch: {len(indices)} images, batch size {batch_size}; "
            "label a larger fraction or lower the batch size"
        )
    if batch_size % world_size:
        raise DataError(
            f"batch size {batch_size} cannot be divided equally among {world_size} processes; use a multiple of {world_size}"
        )
    share = batch_size // world_size
    start = step * batch_size + rank * share
    pieces = []
    for epoch in range(start // len(indices), (start + share - 1) // len(indices) + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(indices))
        offset = epoch * len(indices)
        pieces.append(order[max(0, start - offset) : max(0, start + share - offset)])
    return np.asarray(indices)[np.concatenate(pieces)]
