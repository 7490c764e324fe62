"""Sums over a data set, from which metrics are computed at the end."""

from __future__ import annotations

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
