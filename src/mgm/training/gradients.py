"""Gradients of an update: computed from its loss, averaged over processes, and compared between losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mgm.functional.distributed import world_size
from mgm.training.seeding import seeded
from mgm.training.step import Step

if TYPE_CHECKING:
    from mgm.training.updates import Stage

GradientRule = Callable[[Tensor, Step, tuple[str, ...], bool], None]
"""``rule(loss, step, trains, keep_graph)`` adds to ``.grad`` of the networks in ``trains`` or, with combined updates, of the
encoder's outputs; ``keep_graph``: whether other losses still need the graph."""


def parameters_of(networks: Mapping[str, nn.Module], names: Iterable[str]) -> list[nn.Parameter]:
    """Parameters of the named networks."""
    return [parameter for name in names for parameter in networks[name].parameters()]


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace every gradient by its mean over processes; all processes must have gradients for the same parameters."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if world_size() == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    averages = torch.split(flat / world_size(), [gradient.numel() for gradient in gradients])
    for gradient, average in zip(gradients, averages, strict=True):
        gradient.copy_(average.view(gradient.shape))


def summed(loss: Tensor, step: Step, trains: tuple[str, ...], keep_graph: bool) -> None:
    """The plain gradient of a scalar loss."""
    leaves = step.encoder_outputs if "encoder" in trains else []
    loss.backward(inputs=[*parameters_of(step.networks, trains), *leaves], retain_graph=keep_graph)


@dataclass(frozen=True)
class Aggregated:
    """Aggregates the gradients of several losses for the encoder; all other networks get the gradient of their sum.

    This takes one backward pass through the encoder per loss. Gradients are averaged over processes first, so all processes
    get the same result.
    """

    aggregator: Callable[[Tensor], Tensor]
    """Maps gradients ``[T, P]`` (T losses, P encoder parameters) to one ``[P]``; may draw random numbers."""

    def __call__(self, loss: Tensor, step: Step, trains: tuple[str, ...], keep_graph: bool) -> None:
        """Apply the rule to losses ``[T]``."""
        rows = torch.stack([step.encoder_gradient(single) for single in loss])
        if world_size() > 1:
            dist.all_reduce(rows)
            rows /= world_size()
        with seeded(step.inputs.common_seed, "aggregation"):
            combined = self.aggregator(rows)
        encoder = parameters_of(step.networks, ("encoder",))
        pieces = torch.split(combined, [parameter.numel() for parameter in encoder])
        for parameter, piece in zip(encoder, pieces, strict=True):
            # in the parameter's memory format, as autograd does
            gradient = torch.empty_like(parameter).copy_(piece.view_as(parameter))
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        others = tuple(name for name in trains if name != "encoder")
        loss.sum().backward(inputs=parameters_of(step.networks, others), retain_graph=keep_graph)


def compares(stage: Stage) -> bool:
    """Whether several updates of a stage train the encoder, so that their gradients can be compared."""
    return sum("encoder" in update.trains for update in stage.updates) > 1


class GradientShares:
    """Measures each loss's gradient at the encoder, relative to that of the first loss, the tasks'. Does not affect training.

    Gradients are those of the weighted losses on this process's first micro-batch. This takes an additional backward pass per
    loss, and memory for two more gradients of the encoder.
    """

    def __init__(self) -> None:
        self._reference: Tensor | None = None
        self._others: Tensor | None = None
        self._found: dict[str, tuple[Tensor, Tensor]] = {}

    def note(self, name: str, loss: Tensor, step: Step) -> None:
        """Measure the loss of an update; of an update that occurs several times in a step, the last one is reported."""
        gradient = step.encoder_gradient(loss.sum()).detach()
        if self._reference is None:
            self._reference = gradient
        else:
            self._others = gradient if self._others is None else self._others + gradient
        cosine = torch.nn.functional.cosine_similarity(gradient, self._reference, dim=0)
        self._found[name] = gradient.norm(), cosine

    def figures(self) -> dict[str, dict[str, float]]:
        """Update -> ``norm`` of its gradient at the encoder, and ``cosine`` to that of the first update.

        The entry ``auxiliary`` is the sum of all gradients but the first; it also has the ``ratio`` of its norm to the first's.
        """
        assert self._reference is not None
        others = torch.zeros_like(self._reference) if self._others is None else self._others
        cosine = torch.nn.functional.cosine_similarity(others, self._reference, dim=0)
        found = {name: {"norm": float(norm), "cosine": float(angle)} for name, (norm, angle) in self._found.items()}
        norm, reference = (float(cast(Tensor, gradient.norm())) for gradient in (others, self._reference))
        ratio = norm / max(reference, 1e-30)
        return {**found, "auxiliary": {"norm": norm, "cosine": float(cosine), "ratio": ratio}}
