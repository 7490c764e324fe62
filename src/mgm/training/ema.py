"""The moving average of M's weights, for evaluation."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of weights: at update ``t``, the decay is ``min(decay, (1 + t) / (10 + t))``.

    With this warm-up, the weights of the first steps soon lose their influence. Batch-norm statistics are averaged too, since
    those of the last step belong to other weights. Integer buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights of ``model`` to the average."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        # all tensors in one call, as in torch's own optimisers, although the operator is not documented
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        averaged, current = (
            list(side) for side in zip(*((a, b) for a, b in pairs if a.is_floating_point()), strict=True)
        )
        torch._foreach_lerp_(averaged, current, 1 - decay)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """Weights and the number of updates."""
        return {"updates": self.updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved average."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
