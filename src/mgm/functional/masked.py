"""Means over the valid pixels alone."""

from __future__ import annotations

import torch
from torch import Tensor

from mgm.functional.distributed import global_sum, world_size


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` holds, over the batches of all processes.

    Args:
        values: Any shape, float; may be NaN or infinite where masked out.
        mask: Same shape, bool.

    Returns:
        Scalar, scaled for averaging gradients over processes (see `mgm.functional.distributed`). Without any valid
        value it is 0 and still has a graph, so that a batch without labels trains nothing and breaks nothing.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    count = global_sum(mask.sum()).clamp(min=1)
    return kept.sum() * world_size() / count
