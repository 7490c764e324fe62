"""Splitting of minibatches into micro-batches (gradient accumulation)."""

from __future__ import annotations

import torch

from mgm.errors import ConfigError
from mgm.functional.classification import labelled_rows
from mgm.functional.distributed import global_sum
from mgm.tasks.base import Task
from mgm.types import Batch


def split_batch(batch: Batch, parts: int, tasks: dict[str, Task]) -> tuple[Batch, ...]:
    """Split a minibatch into micro-batches of equal size, and set the weights of their losses (`Batch.shares`).

    A loss is a mean over valid labels, whose number differs between micro-batches. So a micro-batch with ``n_k`` of the ``n``
    valid labels gets the weight ``parts * n_k / n``: the mean of the weighted losses over micro-batches and processes is the loss
    of the whole minibatch.

    Args:
        batch: This process's share of the minibatch.
        parts: Number of micro-batches; 1 returns the batch itself.
        tasks: Task name -> task, for each task with targets.

    Raises:
        ConfigError: If the number of images is not divisible by ``parts``.
    """
    if parts == 1:
        return (batch,)
    if len(batch) % parts:
        raise ConfigError(
            f"{len(batch)} images per process cannot be computed in {parts} equal parts; "
            "let the batch sizes be multiples of processes x --accumulate"
        )
    counts = {name: tasks[name].valid(target).flatten(1).sum(1) for name, target in batch.targets.items()}
    counts["scene"] = labelled_rows(batch.scene)
    per_part = torch.stack([count.unflatten(0, (parts, -1)).sum(1) for count in counts.values()])
    per_part = global_sum(per_part).float()
    shares = (parts * per_part / per_part.sum(1, keepdim=True).clamp(min=1)).to(batch.images.dtype)
    size = len(batch) // parts
    return tuple(
        Batch(
            batch.images[start : start + size],
            {name: target[start : start + size] for name, target in batch.targets.items()},
            batch.scene[start : start + size],
            {name: shares[row, start // size] for row, name in enumerate(counts)},
            None if batch.unmixed is None else batch.unmixed[start : start + size],
        )
        for start in range(0, len(batch), size)
    )
