"""Provenance of a run's results: command, code, machine, cost."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy
import torch

from mgm.functional.distributed import world_size
from mgm.runs.beginning import Beginning
from mgm.runs.cost import encoder_updates, parameter_counts, peak_memory_mb
from mgm.runs.folder import RunFolder
from mgm.training.trainer import Trainer
from mgm.version import __version__


@lru_cache(maxsize=1)
def current_commit() -> str | None:
    """Commit of the running source code, with ``+changes`` if it was edited; None if it is not run from a checkout of `mgm`."""
    place = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(place), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if git("rev-parse", "--show-prefix") != "src/mgm/":  # installed in an environment inside another repository
            return None
        return git("rev-parse", "--short", "HEAD") + (
            "+changes" if git("status", "--porcelain", "--", str(place)) else ""
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def versions() -> dict[str, str]:
    """Versions of `mgm`, torch, NumPy and Python."""
    return {
        "mgm": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


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
        "command": Beginning.read(folder.beginning).command,
        "commit": current_commit(),
        "versions": versions(),
        "device": str(device),
        "world_size": world_size(),
        "parameters": parameter_counts(trainer.networks),
        "updates": encoder_updates(trainer.stages_as_trained),
        "peak_memory_mb": peak_memory_mb(device),
    }
