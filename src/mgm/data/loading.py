"""Batches for training from a store; the samples of a step depend on its number alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from mgm.data.store import Store
from mgm.errors import ConfigError, DataError, unknown
from mgm.functional.levels import level_centre
from mgm.types import Batch

RESIDENT_BYTES = 2_000_000_000
"""Smaller selections of a store are held on the device; larger ones are read from disk, batch by batch."""


class StoreReader:
    """Batches of a store on a device.

    Args:
        store: An open store.
        tasks: Tasks to read targets of; empty for images and scene labels alone.
        device: Device of the batches.
        resident_bytes: Up to this size the data are kept on the device, in the compact types of the store.
        scenes: ``[N, K]`` float32 labels in place of the store's own.

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
        """Number of samples in the store."""
        return len(self.store)

    def batch(self, indices: np.ndarray | Sequence[int], *, targets: bool = True) -> Batch:
        """The samples with the given indices, in their order; an index may occur twice.

        Args:
            indices: ``[B]`` integers in 0 .. number of samples - 1.
            targets: Whether to read the targets too.

        Raises:
            DataError: If an index is out of range.
        """
        rows = np.asarray(indices, dtype=np.int64).reshape(-1)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise DataError(f"sample {rows.max()} (or a negative one) was asked for; {self.store.path} has {len(self)}")
        on_device = torch.from_numpy(rows).to(self.device)
        values = {task: self._rows(task, rows, on_device) for task in (self.tasks if targets else ())}
        levels = self._rows("image", rows, on_device)
        images = levels.float().div_(level_centre(levels.dtype)).sub_(1)
        converted = {task: rows.long() if rows.dtype == torch.uint8 else rows.float() for task, rows in values.items()}
        return Batch(images, converted, self._rows("scene", rows, on_device))

    def _rows(self, name: str, rows: np.ndarray, on_device: Tensor) -> Tensor:
        if name in self._resident:
            # not `[rows]`, which is 22 times slower on uint8
            values = self._resident[name]
            if values.dtype == torch.uint16:  # of which torch has few kernels on a GPU
                return values.view(torch.int16).index_select(0, on_device).view(torch.uint16)
            return values.index_select(0, on_device)
        return torch.from_numpy(np.asarray(self.store.arrays[name][rows])).to(self.device)


class Prefetch:
    """Batches by step; a thread loads the next one while the current one is used.

    Args:
        load: Step and number of samples -> batch; depends on nothing else.
    """

    def __init__(self, load: Callable[[int, int], Batch]) -> None:
        self._load = load
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mgm-prefetch")
        self._next: tuple[tuple[int, int], Future[Batch]] | None = None

    def __call__(self, step: int, count: int) -> Batch:
        """The batch of a step, which is ready if the previous call was for the step before."""
        wanted, ready = (step, count), self._next
        batch = ready[1].result() if ready and ready[0] == wanted else self._load(step, count)
        self._next = ((step + 1, count), self._thread.submit(self._load, step + 1, count))
        return batch


def epoch_indices(
    indices: np.ndarray, batch_size: int, step: int, seed: int, *, rank: int = 0, world_size: int = 1
) -> np.ndarray:
    """The samples of a training step: a function of its arguments alone, so that a resumed run sees the same ones.

    The epochs are random permutations of ``indices``, laid end to end; step ``t`` takes the ``t``-th piece of
    ``batch_size``. A batch may straddle two epochs, so every batch is full and every sample is seen once per epoch.

    Args:
        indices: ``[N]`` samples to draw from.
        batch_size: Samples per step over all processes.
        step: Number of the step, from 0.
        seed: Seed, at least 0.
        rank: This process.
        world_size: Number of processes; each gets an equal slice of the batch.

    Returns:
        ``[batch_size / world_size]`` indices.

    Raises:
        DataError: If there are fewer samples than a batch has, or the batch cannot be shared out equally.
    """
    if len(indices) < batch_size or batch_size < 1:
        raise DataError(
            f"too few images for the batch: {len(indices)} images, batch size {batch_size}; "
            "label a larger fraction or lower the batch size"
        )
    if batch_size % world_size:
        raise DataError(
            f"a batch of {batch_size} cannot be shared out equally among {world_size} processes; make it a multiple"
        )
    share = batch_size // world_size
    start = step * batch_size + rank * share
    pieces = []
    for epoch in range(start // len(indices), (start + share - 1) // len(indices) + 1):
        order = np.random.default_rng([seed, epoch]).permutation(len(indices))
        offset = epoch * len(indices)
        pieces.append(order[max(0, start - offset) : max(0, start + share - offset)])
    return np.asarray(indices)[np.concatenate(pieces)]
