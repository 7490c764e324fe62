"""Copies from the host to the device of a training."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a small tensor from the host to ``device``, on CUDA without waiting for the computations that are under way.

    This is safe for tensors in pageable memory, which CUDA buffers before it returns; Apple GPUs would read the memory later.
    """
    return values.to(device, non_blocking=device.type == "cuda")
