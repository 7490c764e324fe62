"""Precision of losses and sums, independent of that of the networks."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Convert half precision to float32; float64 is kept, so that gradients can be checked in it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def widest_float(device: torch.device | str) -> torch.dtype:
    """Dtype for sums over a data set: float64, or float32 on Apple GPUs, which do not support float64."""
    return torch.float32 if torch.device(device).type == "mps" else torch.float64
