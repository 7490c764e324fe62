"""How the gradient of an update is formed from its loss, and put into ``.grad`` of the parameters that it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mgm.functional.distributed import world_size
from mgm.training.seeding import seeded

if TYPE_CHECKING:
    from mgm.method.step import Step

GradientRule = Callable[[Tensor, "Step", tuple[str, ...], bool], None]
"""``rule(loss, step, trains, keep_graph)`` adds to ``.grad`` of the networks in ``trains``, or, where the step defers the
encoder, of its outputs; ``keep_graph`` says whether other losses still need the graph."""


def parameters_of(networks: Mapping[str, nn.Module], names: tuple[str, ...]) -> list[nn.Parameter]:
    """Parameters of the named networks."""
    return [parameter for name in names for parameter in networks[name].parameters()]


def summed(loss: Tensor, step: Step, trains: tuple[str, ...], keep_graph: bool) -> None:
    """The gradient of a scalar loss, as it is."""
    leaves = step.encoder_outputs if "encoder" in trains else []
    loss.backward(inputs=[*parameters_of(step.networks, trains), *leaves], retain_graph=keep_graph)


@dataclass(frozen=True)
class Aggregated:
    """The encoder gets what an aggregator makes of the losses' gradients; every other network the gradient of their sum.

    It costs a backward pass through the encoder per loss. In several processes the gradients are those of the global
    batch, and all aggregate alike.
    """

    aggregator: Callable[[Tensor], Tensor]
    """``[T, P]``, a row per loss and a column per parameter of the encoder, to ``[P]``; may draw random numbers."""

    def __call__(self, loss: Tensor, step: Step, trains: tuple[str, ...], keep_graph: bool) -> None:
        """Carry out the rule on losses ``[T]``."""
        rows = torch.stack([step.encoder_gradient(part) for part in loss])
        if world_size() > 1:
            dist.all_reduce(rows)
            rows /= world_size()
        with seeded(step.common_seed, "aggregation"):
            combined = self.aggregator(rows)
        encoder = parameters_of(step.networks, ("encoder",))
        parts = combined.split([parameter.numel() for parameter in encoder])
        for parameter, part in zip(encoder, parts, strict=True):
            # in the parameter's own memory layout, as autograd leaves it
            gradient = torch.empty_like(parameter).copy_(part.view_as(parameter))
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        others = tuple(name for name in trains if name != "encoder")
        loss.sum().backward(inputs=parameters_of(step.networks, others), retain_graph=keep_graph)
