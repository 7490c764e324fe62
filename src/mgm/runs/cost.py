"""Cost of a run: parameters, encoder updates, memory."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from mgm.training.updates import Stage


def parameter_counts(networks: Mapping[str, nn.Module]) -> dict[str, int]:
    """Number of parameters of each network; the parts of M (``encoder``, ``decoders``, ...) come first."""
    return {name: sum(parameter.numel() for parameter in network.parameters()) for name, network in networks.items()}


def encoder_updates(stages: Iterable[Stage]) -> dict[str, int]:
    """Number of times that each update trains the encoder in the whole training, in the order of the stages.

    With ``optimizer_step: combined``, all losses of a step train the encoder together, in one step of its optimiser.
    """
    counts: Counter[str] = Counter()
    for stage in stages:
        for update in stage.updates:
            if "encoder" in update.trains:
                counts[update.name] += stage.steps
    return dict(counts)


def peak_memory_mb(device: torch.device) -> float | None:
    """Peak memory so far in MiB: of tensors on a CUDA device, otherwise of the whole process.

    It includes the baseline if the same process has trained it. None if the system does not report it (Windows).
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes on macOS, KiB elsewhere
