"""One parameter vector per class, and what an image with zero, one or several active classes makes of it."""

from __future__ import annotations

import torch
from torch import Tensor

from mgm.functional.precision import at_least_float32


def class_weights(labels: Tensor) -> Tensor:
    """Shares of the classes in each image.

    Args:
        labels: ``[B, K]`` float, 0 or 1: one-hot or multi-hot.

    Returns:
        ``[B, K]`` float32 (float64 stays), rows summing to one: equal shares of the active classes; of all classes
        where none is active, which is what is best known of an image without a label.
    """
    labels = at_least_float32(labels)
    active = labels.sum(dim=1, keepdim=True)
    return torch.where(active > 0, labels / active.clamp(min=1), torch.full_like(labels, 1 / labels.shape[1]))


def mean_over_classes(table: Tensor, labels: Tensor) -> Tensor:
    """Mean of the active classes' rows of ``table`` (paper eq. 1; multi-hot: G.1), in full precision under autocast.

    Args:
        table: ``[K, C]``, one row per class; several tables side by side cost no more than one.
        labels: ``[B, K]`` float, one-hot or multi-hot.

    Returns:
        ``[B, C]`` in the table's type.
    """
    with torch.autocast(table.device.type, enabled=False):
        return class_weights(labels).to(table.dtype) @ table
