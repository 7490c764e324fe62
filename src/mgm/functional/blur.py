"""Gaussian blur, of each image by its own width."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def blur_kernels(sigma: np.ndarray, size: int) -> np.ndarray:
    """Normalised Gaussian weights, ``[B, size]``; sigma 0 leaves the picture as it is."""
    distance = np.arange(size) - size // 2
    # so narrow that all weight is in the middle
    spread = np.maximum(sigma, 1e-3)[:, None]
    weights = np.exp(-(distance**2) / (2 * spread**2))
    return weights / weights.sum(axis=1, keepdims=True)


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Each image with its own kernel ``[B, size]``, first along rows, then along columns; borders are reflected."""
    count, channels, height, width = images.shape
    size = kernels.shape[1]
    weights = kernels.repeat_interleave(channels, dim=0)[:, None, None, :]
    flat = F.pad(images, (size // 2,) * 4, mode="reflect").view(1, count * channels, height + size - 1, -1)
    flat = F.conv2d(flat, weights, groups=count * channels)
    flat = F.conv2d(flat, weights.mT, groups=count * channels)
    return flat.view(count, channels, height, width)
