"""Gaussian blur with an own width per image."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def blur_kernels(sigma: np.ndarray, size: int) -> np.ndarray:
    """Normalised Gaussian kernels ``[B, size]`` for standard deviations ``[B]`` in pixels; 0 gives the identity."""
    distance = np.arange(size) - size // 2
    # at 1e-3, all weight is at the centre
    spread = np.maximum(sigma, 1e-3)[:, None]
    weights = np.exp(-(distance**2) / (2 * spread**2))
    return weights / weights.sum(axis=1, keepdims=True)


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve images ``[B, C, H, W]`` with kernels ``[B, size]`` along both axes, with reflected borders."""
    count, channels, height, width = images.shape
    size = kernels.shape[1]
    weights = kernels.repeat_interleave(channels, dim=0)[:, None, None, :]
    flat = F.pad(images, (size // 2,) * 4, mode="reflect").view(1, count * channels, height + size - 1, -1)
    flat = F.conv2d(flat, weights, groups=count * channels)
    flat = F.conv2d(flat, weights.mT, groups=count * channels)
    return flat.view(count, channels, height, width)
