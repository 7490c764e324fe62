"""Statistics over all processes, differentiable, and free of cost in a single process.

Convention: every process computes a loss on its part of the global batch, scaled such that the *mean* over processes of
the gradients is the gradient of the loss on the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

_alone = False


def world_size() -> int:
    """Number of processes that train together; 1 without `torch.distributed`, and inside `alone`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() and not _alone else 1


@contextmanager
def alone() -> Iterator[None]:
    """What one process does for itself while the others go on, a picture say: nothing waits for them."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def rank() -> int:
    """Index of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def global_sum(values: Tensor) -> Tensor:
    """Sum over processes, without gradient. The argument is left alone."""
    values = values.detach()
    if world_size() > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


class _SumAcrossProcesses(torch.autograd.Function):
    """All-reduce whose backward pass is an all-reduce too."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return global_sum(values.contiguous())

    @staticmethod
    def backward(ctx: object, *grad_outputs: Tensor) -> Tensor:
        return global_sum(grad_outputs[0].contiguous())


def differentiable_sum(values: Tensor) -> Tensor:
    """Sum over processes; each process' gradient reaches every summand."""
    if world_size() == 1:
        return values
    result = _SumAcrossProcesses.apply(values)
    assert isinstance(result, Tensor)
    return result


def gather_batch(values: Tensor) -> Tensor:
    """Rows of all processes, ``[world * B, ...]``, in order of rank; differentiable.

    Every process must hold the same number of rows.
    """
    if world_size() == 1:
        return values
    # zeros except for the own rows: a sum is then a gather, and its gradient is the gather's
    padded = values.new_zeros(world_size(), *values.shape)
    padded[rank()] = values
    return differentiable_sum(padded).flatten(0, 1)
