"""Class-conditional parameters for images with none, one or several active classes."""

from __future__ import annotations

import torch
from torch import Tensor

from mgm.functional.precision import at_least_float32


def class_weights(labels: Tensor) -> Tensor:
    """Weight of each class in an image, ``[B, K]`` float32 (float64 is kept); rows sum to one.

    Active classes have equal weights. If none is active, all classes have, as the best guess for an image without a label.

    Args:
        labels: ``[B, K]`` float, 0 or 1: one-hot or multi-hot.
    """
    labels = at_least_float32(labels)
    active = labels.sum(dim=1, keepdim=True)
    return torch.where(active > 0, labels / active.clamp(min=1), torch.full_like(labels, 1 / labels.shape[1]))


def mean_over_classes(table: Tensor, labels: Tensor) -> Tensor:
    """Mean of the active classes' rows of ``table`` (paper eq. 1; multi-hot: G.1), in full precision under autocast.

    Args:
        table: ``[K, C]``, a row per class; several tables can be concatenated along ``C`` to look them up at once.
        labels: ``[B, K]`` float, one-hot or multi-hot.

    Returns:
        ``[B, C]`` in the table's dtype.
    """
    with torch.autocast(table.device.type, enabled=False):
        return class_weights(labels).to(table.dtype) @ table
