"""The memory format of images and weights: contiguous or channels last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

from mgm.config import TrainingConfig
from mgm.types import Batch

FASTER_LAST = ("cuda",)
"""Device types on which ``auto`` means channels last.

CPUs are not among them, although the format is faster there: oneDNN's gradient of a strided 1x1 convolution in this format writes
out of bounds (torch 2.13), and a backbone of transformers may contain one. Encoders without such a convolution choose the
format themselves (`mgm.networks.encoder.fast_layout`)."""


def memory_format(config: TrainingConfig, device: torch.device) -> torch.memory_format:
    """The memory format of ``[B, C, H, W]`` tensors for a run; results are the same up to rounding."""
    last = config.channels_last == "always" or (config.channels_last == "auto" and device.type in FASTER_LAST)
    return torch.channels_last if last else torch.contiguous_format


def arrange(networks: nn.Module, layout: torch.memory_format) -> None:
    """Convert the weights of newly built networks to a memory format."""
    if layout != torch.contiguous_format:
        networks.to(memory_format=layout)  # pyright: ignore[reportCallIssue] - not in the stub


def in_format(loader: Callable[[int, int], Batch], stored: torch.memory_format) -> Callable[[int, int], Batch]:
    """Wrap a loader so that its images have a memory format; the last batch is cached, because a step may use it twice."""

    @lru_cache(maxsize=1)
    def load(step: int, count: int) -> Batch:
        batch = loader(step, count)
        return replace(batch, images=batch.images.contiguous(memory_format=stored))

    return load
