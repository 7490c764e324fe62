"""Streaming sums over a data set, from which metrics are computed, and relative improvements between metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mgm.functional.distributed import global_sum
from mgm.functional.precision import widest_float

UNKNOWN = "–"
"""Text of an unknown value."""


class StreamingSums:
    """Named sums, accumulated batch by batch and summed over processes when read.

    They are float64: counts are exact, and other sums depend on the division into batches in their last digits only. Apple GPUs
    have float32 alone.

    Args:
        sizes: Name -> number of elements.
        device: Device that holds the sums.

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
        """Add a tensor of matching size to each sum; every call must give all names."""
        for name, total in self._sums.items():
            total += values[name].detach().to(total.dtype)

    def own(self) -> dict[str, Tensor]:
        """Name -> float64 sum of this process only, on the CPU."""
        return {name: total.cpu().double() for name, total in self._sums.items()}

    def totals(self) -> dict[str, Tensor]:
        """Name -> float64 sum over all processes, on the CPU. All processes have to call it."""
        return {name: global_sum(total).clone().cpu().double() for name, total in self._sums.items()}


def wide_sum(values: Tensor) -> Tensor:
    """Sum of all elements in the precision of `StreamingSums`."""
    return values.sum(dtype=widest_float(values.device))


def ratio(numerator: Tensor, denominator: Tensor) -> float:
    """Quotient of two one-element sums; NaN if the denominator is not positive."""
    return float(numerator) / float(denominator) if float(denominator) > 0 else float("nan")


def relative_gain(value: float, reference: float, higher_is_better: bool) -> float:
    """Relative improvement ``± (value - reference) / |reference|``, positive is better.

    NaN if either argument is NaN, or the reference is nearly 0 (at most 1e-6).
    """
    sign = 1.0 if higher_is_better else -1.0
    return sign * (value - reference) / abs(reference) if abs(reference) > 1e-6 else math.nan


def mean_relative_gain(
    values: Mapping[str, float], reference: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> float:
    """Mean relative improvement over tasks, positive is better. With single-task models as reference: Δm (Maninis et al., 2019).

    A task that is NaN for both models (no image has labels for it) is left out. If only one of them is NaN, or the reference is
    nearly 0, the result is NaN: a mean over fewer tasks would not be comparable.

    Args:
        values: Task name -> value of its metric; NaN: unknown.
        reference: The same for the model to compare with.
        higher_is_better: Task name -> direction of its metric.
    """
    known = [task for task in higher_is_better if not (math.isnan(values[task]) and math.isnan(reference[task]))]
    gains = [relative_gain(values[task], reference[task], higher_is_better[task]) for task in known]
    return sum(gains) / len(gains) if gains else math.nan


def percent(gain: float) -> str:
    """Format a relative gain in per cent, with its sign; a dash if it is not finite."""
    return f"{gain:+z.1%}".replace("%", " %") if math.isfinite(gain) else UNKNOWN
