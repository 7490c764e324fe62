"""Learned weights of task losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn


class UncertaintyWeights(nn.Module):
    """``sum_t exp(-s_t) L_t + s_t / 2`` with a learned log-variance ``s_t`` per task (Kendall et al., 2018, eq. 7-10).

    ``s_t`` starts at 0, so initially the gradients of all other networks are those of the plain sum. Kendall's factor 1/2 for
    regression only shifts ``s_t`` by a constant and is omitted.

    Example:
        >>> UncertaintyWeights(("depth",))({"depth": torch.tensor(2.0)}).item()
        2.0
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        super().__init__()
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in tasks})

    def forward(self, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """Weighted sum, a scalar, of task -> scalar loss; tasks without a loss contribute nothing."""
        terms = [
            torch.exp(-self.log_variances[task]) * loss + self.log_variances[task] / 2 for task, loss in losses.items()
        ]
        return torch.stack(terms).sum()
