"""What the numbers of a run were made with."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy
import torch

from mgm.version import __version__


@lru_cache(maxsize=1)
def current_commit() -> str | None:
    """The commit of the source code that runs, with ``+changes`` when it was edited; None outside a checkout."""
    place = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(place), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
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
