"""Sums over batches and processes; apart from `mgm.tasks.metrics` because torchmetrics takes seconds to import."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

from mgm.functional.distributed import world_size
from mgm.functional.precision import widest_float


class StreamingSums(Metric):
    """Named sums that grow batch by batch and are added up over processes when read.

    Sums are float64 (whole numbers are exact up to 2^53), so that neither the order nor the number of batches shows.

    Example:
        >>> sums = StreamingSums({"count": 1, "error": 1}, "cpu")
        >>> sums.update(count=torch.tensor(2), error=torch.tensor(3.0))
        >>> sums.totals()["error"].item()
        3.0
    """

    full_state_update = False

    def __init__(self, sizes: Mapping[str, int], device: torch.device | str) -> None:
        super().__init__(distributed_available_fn=lambda: world_size() > 1)
        self.names = tuple(sizes)
        for name, size in sizes.items():
            self.add_state(name, torch.zeros(size, dtype=widest_float(device)), dist_reduce_fx="sum")
        self.to(torch.device(device))

    def update(self, **values: Tensor) -> None:
        """Add to each named sum a tensor of its size; all names, each time."""
        for name in self.names:
            total: Tensor = getattr(self, name)
            total += values[name].detach().to(total.dtype)

    def compute(self) -> dict[str, Tensor]:
        """The sums of this process; `totals` is what to call."""
        return {name: getattr(self, name) for name in self.names}

    def totals(self) -> dict[str, Tensor]:
        """Name -> float64 sum over all processes, on the CPU; all of them have to call it."""
        with warnings.catch_warnings():
            # nothing seen yet is a legitimate answer here: the metrics are NaN then
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            return {name: total.cpu().double() for name, total in self.compute().items()}
