"""A moving average of M's weights, for evaluation."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average with warm-up: at update ``t`` the decay is ``min(decay, (1 + t) / (10 + t))``.

    So the first steps, far from where training ends, are soon forgotten. Running statistics are averaged alike: those of the
    last step belong to other weights. Whole numbers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        # all tensors at once: torch's own optimisers work so, though it does not list these operators
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
