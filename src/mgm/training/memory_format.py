"""The memory format of images and weights: as written, or channels last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import torch
from torch import nn

from mgm.config import TrainingConfig
from mgm.types import Batch

FASTER_LAST = ("cuda",)
"""Kinds of devices on which channels come last under ``auto``.

Not a CPU, though it is faster there: oneDNN's gradient of a strided 1x1 convolution in this format writes beyond its memory
(torch 2.13), and a backbone of transformers may have one. Encoders that have none choose it themselves
(`mgm.networks.encoder.fast_layout`)."""


def memory_format(config: TrainingConfig, device: torch.device) -> torch.memory_format:
    """``[B, C, H, W]`` stored as written, or channels last; numbers are the same but for rounding."""
    last = config.channels_last == "always" or (config.channels_last == "auto" and device.type in FASTER_LAST)
    return torch.channels_last if last else torch.contiguous_format


def arrange(networks: nn.Module, layout: torch.memory_format) -> None:
    """Store the weights of new networks in ``layout``."""
    if layout != torch.contiguous_format:
        networks.to(memory_format=layout)  # pyright: ignore[reportCallIssue] - not in the stub


def in_format(loader: Callable[[int, int], Batch], stored: torch.memory_format) -> Callable[[int, int], Batch]:
    """The same batches with their images in a memory format; the last one is kept, for micro-batches that share it."""

    @lru_cache(maxsize=1)
    def load(step: int, count: int) -> Batch:
        batch = loader(step, count)
        return replace(batch, images=batch.images.contiguous(memory_format=stored))

    return load
