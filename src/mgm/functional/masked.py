"""Means over valid pixels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mgm.functional.distributed import global_sum, world_size
from mgm.functional.precision import at_least_float32


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean of ``values`` where ``mask`` holds, over the batches of all processes.

    Args:
        values: Any shape, float; may be NaN or infinite where masked out.
        mask: Same shape, bool.

    Returns:
        Scalar, scaled for averaging gradients over processes (see `mgm.functional.distributed`). Without any valid value, it is 0
        with a graph, so that a batch without labels has zero gradients.
    """
    kept = torch.where(mask, values, torch.zeros_like(values))
    count = global_sum(mask.sum()).clamp(min=1)
    return kept.sum() * world_size() / count


def masked_l1(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"], mask: Bool[Tensor, "B _ H W"]
) -> Float[Tensor, ""]:
    """Mean absolute difference where ``mask`` holds, over the batches of all processes.

    Args:
        prediction: ``[B, C, H, W]``, float.
        target: Same shape; may be NaN or infinite where masked out.
        mask: Same shape, or one that broadcasts to it; bool.

    Returns:
        Scalar, float32, scaled like `masked_mean`; 0 with a graph if nothing is valid.
    """
    mask = mask.expand_as(prediction)
    return masked_mean(_difference(prediction, target, mask).abs(), mask)


def masked_l2(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"], mask: Bool[Tensor, "B _ H W"]
) -> Float[Tensor, ""]:
    """Mean squared difference where ``mask`` holds; arguments and result as for `masked_l1`."""
    mask = mask.expand_as(prediction)
    return masked_mean(_difference(prediction, target, mask).square(), mask)


def _difference(
    prediction: Float[Tensor, "B C H W"], target: Float[Tensor, "B C H W"], mask: Bool[Tensor, "B C H W"]
) -> Float[Tensor, "B C H W"]:
    # mask directly after the difference, whose derivative is constant; later, the zero gradient would be multiplied by a
    # derivative at NaN, which is NaN
    return torch.where(mask, at_least_float32(prediction) - target, 0.0)
