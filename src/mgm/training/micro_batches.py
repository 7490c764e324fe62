"""A minibatch in parts that are computed one after another (gradient accumulation)."""

from __future__ import annotations

import torch

from mgm.errors import ConfigError
from mgm.functional.classification import labelled_rows
from mgm.functional.distributed import global_sum
from mgm.tasks.base import Task
from mgm.types import Batch


def split_batch(batch: Batch, parts: int, tasks: dict[str, Task]) -> tuple[Batch, ...]:
    """Equal parts of a minibatch, each knowing how much its labels weigh in the whole.

    A loss is a mean over valid labels, which the parts have unequally many of. So a part with ``n_k`` of the ``n`` valid
    labels weighs ``parts * n_k / n``: the mean of the weighed losses over parts and processes is the loss of the whole.

    Args:
        batch: This process' share of the minibatch.
        parts: How many; 1 gives the batch itself.
        tasks: What the targets mean.

    Raises:
        ConfigError: If the images cannot be shared out equally.
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
