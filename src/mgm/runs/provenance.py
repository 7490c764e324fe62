"""What the numbers of a run were made with."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy
import torch

from mgm.version import __version__


@lru_cache(maxsize=1)
def current_commit() -> str | None:
    """The commit of the source code that runs, with ``+changes`` when it was edited; None outside a checkout of its own."""
    place = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(place), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if git("rev-parse", "--show-prefix") != "src/mgm/":  # an environment inside some other repository
            return None
        return git("rev-parse", "--short", "HEAD") + (
            "+changes" if git("status", "--porcelain", "--", str(place)) else ""
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    return {
        "mgm": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def command_line() -> str:
    """The command that runs, as one would type it."""
    program = Path(sys.argv[0])
    started_as_module = Path(__file__).parents[1] in program.resolve().parents  # python -m mgm
    return shlex.join(["mgm" if started_as_module else program.name, *sys.argv[1:]])
