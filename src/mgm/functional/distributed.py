"""Sums and gathers over all processes, partly differentiable; with a single process they do nothing.

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
"""Tensors of at most this size, over all processes together, are gathered and summed locally instead of all-reduced. That takes one
message instead of two, and latency dominates for batch statistics."""

_alone = False


def world_size() -> int:
    """Number of processes that train together; 1 without `torch.distributed` and inside `alone`."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() and not _alone else 1


@contextmanager
def alone() -> Generator[None]:
    """Context for code that only one process runs, such as drawing a figure: `world_size` is 1, so nothing communicates."""
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
    """Gather tensors of equal shape from all processes to ``[world, ...]``, in order of rank, without gradient."""
    values = values.detach().contiguous()
    if world_size() == 1:
        return values[None]
    everyone = values.new_zeros(world_size(), *values.shape)
    dist.all_gather(list(everyone.unbind()), values)
    return everyone


def global_sum(values: Tensor) -> Tensor:
    """Sum over processes, without gradient; does not modify the argument."""
    if world_size() == 1:
        return values.detach()
    if values.nbytes * world_size() <= GATHERED_BYTES:
        return gather(values).sum(dim=0)
    values = values.detach().clone()
    dist.all_reduce(values)
    return values


def global_total(values: Tensor) -> Tensor:
    """Differentiable sum over processes, for statistics from which a loss is computed.

    The loss is then the same in all processes, and the mean of its gradients over processes is the gradient of the whole batch.
    """
    if world_size() == 1:
        return values
    return global_sum(values) + world_size() * (values - values.detach())


class _GatherBatch(torch.autograd.Function):
    """Gathers rows of all processes; the gradient of a row is the sum of its gradients in all processes."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return gather(values).flatten(0, 1)

    @staticmethod
    def backward(ctx: object, *grad_outputs: Tensor) -> Tensor:
        gradient = grad_outputs[0]
        return global_sum(gradient).view(world_size(), -1, *gradient.shape[1:])[rank()]


def gather_batch(values: Tensor) -> Tensor:
    """Gather rows of all processes to ``[world * B, ...]``, in order of rank; differentiable. B must be the same in all."""
    if world_size() == 1:
        return values
    return cast(Tensor, _GatherBatch.apply(values))
