"""Sums over a data set, from which metrics are computed at the end."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mgm.functional.distributed import global_sum
from mgm.functional.precision import widest_float


class StreamingSums:
    """Named sums that grow batch by batch and are added up over processes when read.

    Sums are float64 (whole numbers are exact up to 2^53), so that neither the order nor the number of batches shows.

    Args:
        sizes: Name -> number of elements.
        device: Where they are kept.

    Example:
        >>> sums = StreamingSums({"count": 1, "error": 1}, "cpu")
        >>> sums.update(count=torch.tensor(2), error=torch.tensor(3.0))
        >>> sums.totals()["error"].item()
        3.0
    """

    def __init__(self, sizes: Mapping[str, int], device: torch.device | str) -> None:
        self._sums = {
            name: torch.zeros(size, dtype=widest_float(device), device=device) for name, size in sizes.items()
        }

    def update(self, **values: Tensor) -> None:
        """Add to each named sum a tensor of its size; all names, each time."""
        for name, total in self._sums.items():
            total += values[name].detach().to(total.dtype)

    def totals(self) -> dict[str, Tensor]:
        """Name -> float64 sum over all processes, on the CPU; all of them have to call it."""
        return {name: global_sum(total).clone().cpu().double() for name, total in self._sums.items()}


def wide_sum(values: Tensor) -> Tensor:
    """Sum of all elements in the precision of `StreamingSums`."""
    return values.sum(dtype=widest_float(values.device))


def ratio(numerator: Tensor, denominator: Tensor) -> float:
    """Quotient of two sums of one element; NaN when nothing was counted."""
    return float(numerator) / float(denominator) if float(denominator) > 0 else float("nan")
