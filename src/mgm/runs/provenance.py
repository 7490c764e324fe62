"""Provenance of a run's results: command, code, machine, cost."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from mgm.functional.distributed import world_size
from mgm.runs.beginning import Beginning
from mgm.runs.folder import RunFolder
from mgm.training.trainer import Trainer
from mgm.training.updates import Stage
from mgm.version import __version__


@lru_cache(maxsize=1)
def current_commit() -> str | None:
    """Commit of the running source code, with ``+changes`` if it was edited; None if it is not run from a checkout of `mgm`."""
    place = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(place), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if git("rev-parse", "--show-prefix") != "src/mgm/":  # installed in an environment inside another repository
            return None
        changed = git("status", "--porcelain", "--", str(place))
        return git("rev-parse", "--short", "HEAD") + ("+changes" if changed else "")
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def versions() -> dict[str, str]:
    """Versions of `mgm`, torch, NumPy and Python."""
    python = platform.python_version()
    return {"mgm": __version__, "torch": torch.__version__, "numpy": numpy.__version__, "python": python}


def command_line() -> str:
    """The command line of this process, as a user would type it."""
    program = Path(sys.argv[0])
    started_as_module = Path(__file__).parents[1] in program.resolve().parents  # python -m mgm
    return shlex.join(["mgm" if started_as_module else program.name, *sys.argv[1:]])


def made_with(folder: RunFolder, trainer: Trainer) -> dict[str, Any]:
    """Entries of ``result.json`` about how a run was made: time, command, code, machine, and cost."""
    device = trainer.fabric.device
    return {
        "seconds": round(trainer.position.seconds, 1),
        "shared_seconds": round(trainer.position.shared_seconds, 1),
        "command": Beginning.read(folder.beginning).command,
        "commit": current_commit(),
        "versions": versions(),
        "device": str(device),
        "world_size": world_size(),
        "parameters": parameter_counts(trainer.networks),
        "updates": encoder_updates(trainer.stages_as_trained),
        "peak_memory_mb": peak_memory_mb(device),
    }


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
