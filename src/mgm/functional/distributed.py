"""Differentiable statistics over all processes, free of cost in a single one.

Convention: every process computes a loss on its part of the global batch, scaled such that the *mean* over processes of
its gradients is the gradient of the loss on the whole batch.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor

GATHERED_BYTES = 2**16
"""Sums of no more than this, over all processes together, are gathered and added up by each process: one message instead of the
two of an all-reduce, whose latency is what counts for batch statistics."""

_alone = False


def world_size() -> int:
    """Number of processes that train together; 1 without `torch.distributed`, and inside `alone`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() and not _alone else 1


@contextmanager
def alone() -> Generator[None]:
    """What one process does by itself while the others go on, such as drawing a figure."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def rank() -> int:
    """Index of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def gather(values: Tensor) -> Tensor:
    """What every process holds, ``[world, ...]`` in order of rank, without gradient; shapes must agree."""
    values = values.detach().contiguous()
    if world_size() == 1:
        return values[None]
    everyone = values.new_zeros(world_size(), *values.shape)
    dist.all_gather(list(everyone.unbind()), values)
    return everyone


def global_sum(values: Tensor) -> Tensor:
    """Sum over processes, without gradient; the argument is left alone."""
    if world_size() == 1:
        return values.detach()
    if values.nbytes * world_size() <= GATHERED_BYTES:
        return gather(values).sum(dim=0)
    values = values.detach().clone()
    dist.all_reduce(values)
    return values


def global_total(values: Tensor) -> Tensor:
    """Sum over processes, for statistics that a loss is a function of.

    The loss is then the same in all processes, and the mean over processes of its gradients is that of the whole batch.
    """
    if world_size() == 1:
        return values
    return global_sum(values) + world_size() * (values - values.detach())


class _GatherBatch(torch.autograd.Function):
    """Rows of all processes; the gradient of a row is the sum of what all processes make of it."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return gather(values).flatten(0, 1)

    @staticmethod
    def backward(ctx: object, *grad_outputs: Tensor) -> Tensor:
        gradient = grad_outputs[0]
        return global_sum(gradient).view(world_size(), -1, *gradient.shape[1:])[rank()]


def gather_batch(values: Tensor) -> Tensor:
    """Rows of all processes, ``[world * B, ...]``, in order of rank; differentiable. All must hold equally many."""
    if world_size() == 1:
        return values
    return cast(Tensor, _GatherBatch.apply(values))
