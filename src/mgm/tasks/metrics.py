"""Sums over a data set, from which metrics are computed at the end; relative improvements of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mgm.functional.precision import widest_float

if TYPE_CHECKING:
    from mgm.tasks.streaming import StreamingSums


def streaming_sums(sizes: Mapping[str, int], device: torch.device | str) -> StreamingSums:
    """Named sums of the given sizes; what needs no scores, such as prediction, does not wait for torchmetrics."""
    from mgm.tasks.streaming import StreamingSums

    return StreamingSums(sizes, device)


def wide_sum(values: Tensor) -> Tensor:
    """Sum of all elements in the precision of `StreamingSums`."""
    return values.sum(dtype=widest_float(values.device))


def ratio(numerator: Tensor, denominator: Tensor) -> float:
    """Quotient of two sums of one element; NaN when nothing was counted."""
    return float(numerator) / float(denominator) if float(denominator) > 0 else float("nan")


def relative_gain(value: float, reference: float, higher_is_better: bool) -> float:
    """``± (value - reference) / |reference|``, positive is better; NaN where either is unknown or the reference is next to 0."""
    sign = 1.0 if higher_is_better else -1.0
    return sign * (value - reference) / abs(reference) if abs(reference) > 1e-6 else math.nan


def mean_relative_gain(
    values: Mapping[str, float], reference: Mapping[str, float], higher_is_better: Mapping[str, bool]
) -> float:
    """Mean relative improvement over tasks, known as Δm when the reference are single-task models (Maninis et al., 2019).

    A task that is unknown for both (the images have no labels of it) is left out. Where only one of them is unknown, or the
    reference is next to 0, the mean is NaN: one over fewer tasks could not be compared with others.

    Args:
        values: Task -> value of its metric; NaN: unknown.
        reference: The same of the model to compare with.
        higher_is_better: Task -> direction of its metric.

    Returns:
        A fraction, positive is better.
    """
    known = [task for task in higher_is_better if not (math.isnan(values[task]) and math.isnan(reference[task]))]
    gains = [relative_gain(values[task], reference[task], higher_is_better[task]) for task in known]
    return sum(gains) / len(gains) if gains else math.nan
