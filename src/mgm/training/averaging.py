"""Gradients averaged over processes while the backward pass still computes those of earlier layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mgm.functional.distributed import world_size

BUCKET_BYTES = 4 * 2**20
"""Gradients that travel together: large enough that latency does not count, small enough that the first ones leave early."""


class GradientAverage:
    """The averaging of one update's gradients.

    The exchange overlaps with the backward pass that makes the gradients, and with that alone: the next loss of a sequential
    update is computed with the weights that this one changes. Where the optimisers step together (combined updates),
    networks whose gradients are complete are exchanged while the encoder's are computed.

    Buckets leave in a fixed order, so all processes exchange the same ones. In a single process nothing happens.
    """

    def __init__(self) -> None:
        self._buckets: list[_Bucket] = []
        self._begun = 0
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def as_they_come(self, parameters: Sequence[nn.Parameter]) -> None:
        """Exchange every gradient of ``parameters`` that the next backward pass completes, as soon as its bucket is full."""
        if world_size() == 1:
            return
        # the last layers' gradients come first
        for bucket in _buckets(list(parameters)[::-1]):
            self._buckets.append(bucket)
            for parameter in bucket.parameters:
                self._hooks.append(parameter.register_post_accumulate_grad_hook(self._completed(bucket)))

    def now(self, parameters: Sequence[nn.Parameter]) -> None:
        """Begin to exchange gradients that are complete."""
        if world_size() == 1:
            return
        for bucket in _buckets(parameters):
            bucket.missing.clear()
            self._buckets.append(bucket)
        self._begin_full_ones()

    def finish(self) -> None:
        """Wait until every gradient is the average over processes."""
        for hook in self._hooks:
            hook.remove()
        for bucket in self._buckets:
            bucket.missing.clear()  # parameters that got no gradient, in no process
        self._begin_full_ones()
        for bucket in self._buckets:
            bucket.finish()

    def _completed(self, bucket: _Bucket):
        def completed(parameter: Tensor) -> None:
            bucket.missing.discard(id(parameter))
            self._begin_full_ones()

        return completed

    def _begin_full_ones(self) -> None:
        while self._begun < len(self._buckets) and not self._buckets[self._begun].missing:
            self._buckets[self._begun].begin()
            self._begun += 1


class _Bucket:
    """Gradients that travel as one tensor."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.parameters = parameters
        self.missing = {id(parameter) for parameter in parameters}
        self._gradients: list[Tensor] = []
        self._flat = torch.empty(0)
        self._work: dist.Work | None = None

    def begin(self) -> None:
        self._gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        if self._gradients:
            self._flat = torch.cat([gradient.flatten() for gradient in self._gradients])
            self._work = dist.all_reduce(self._flat, async_op=True)

    def finish(self) -> None:
        if self._work is None:
            return
        self._work.wait()
        parts = (self._flat / world_size()).split([gradient.numel() for gradient in self._gradients])
        for gradient, part in zip(self._gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


def _buckets(parameters: Sequence[nn.Parameter]) -> list[_Bucket]:
    """Parameters in their order, as many together as `BUCKET_BYTES` hold."""
    groups: list[list[nn.Parameter]] = []
    size = BUCKET_BYTES
    for parameter in parameters:
        if size + parameter.nbytes > BUCKET_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(parameter)
        size += parameter.nbytes
    return [_Bucket(group) for group in groups]
