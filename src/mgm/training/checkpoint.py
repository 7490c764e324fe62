"""Files that are whole or absent, such as checkpoints: written beside their place, then moved there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mgm.data.files import write_atomically
from mgm.errors import RunError


def make_folder(path: Path) -> None:
    """Create a folder unless it is there.

    Raises:
        RunError: If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot create {path} ({error.strerror}); choose another place with --out") from None


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values; whatever was at ``path`` stays until the new file is complete."""
    write_atomically(path, lambda file: torch.save(state, file))


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load a checkpoint without running any code from it (``weights_only=True``).

    Raises:
        RunError: If the file is missing, damaged, or holds anything but tensors and plain values.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise RunError(f"{path} does not exist; the run has not come that far (continue it with --resume)") from None
    except Exception as error:  # a damaged file can fail in any way the unpickler knows
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is damaged or no checkpoint of mgm ({reason}); delete it or train again") from None
    if not isinstance(state, dict):
        raise RunError(f"{path} holds no dictionary, so it is no checkpoint of mgm")
    return state
