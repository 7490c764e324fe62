"""Record of how a run was started (command, baseline, processes, settings), to check that resuming it gives the same run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.functional.distributed import world_size
from mgm.runs.folder import read_json
from mgm.runs.settings import in_words, to_dict
from mgm.types import is_mapping, is_sequence

FREE = ("data.cache", "training.device", "training.log", "training.checkpoint_every")
"""Settings that may be edited before a run is resumed, because they do not affect its results."""
PLACES = ("data.data", "data.pretrain", "model.encoder_run", "method.generator_runs", "method.annotator")
"""Settings whose paths may be edited, because a folder may have been moved."""
DERIVED = ("method.refinement", "model.backbone", "model.pretrained_on", "model.image_channels")
"""Settings that a run may adapt to its data."""
FITTED = tuple(f"training.{name}" for name in ("steps", "generator_steps", "pretrain_steps", "validate_every"))
"""Settings that a run adapts to its minutes."""


@dataclass(frozen=True)
class Beginning:
    """Content of ``begun.json`` of a run."""

    command: str
    baseline: bool
    """Whether the run trains a baseline too."""
    minutes: float
    """Minutes from which the number of steps followed; 0: the steps are those of the settings."""
    world_size: int
    """Number of processes."""
    settings: dict[str, Any]
    """Copy of ``config.yaml``, to detect whether that was edited."""

    @classmethod
    def read(cls, path: Path) -> Beginning:
        """Read the file. Raises `RunError` if the file is missing or damaged."""
        return read_json(path, cls)

    def check(self, experiment: Experiment, *, derived: bool = False) -> None:
        """Check that the run can be resumed with these settings and the current number of processes.

        With ``derived``, the settings are the user's, which the run has yet to adapt to its data and minutes.

        Raises:
            ConfigError: If settings or number of processes differ.
        """
        free = (*FREE, *(DERIVED if derived else ()), *(FITTED if derived and self.minutes else ()))
        edited = [
            f"{name}: {in_words(old)} -> {in_words(new)}"
            for name, old, new in _differences(self.settings, to_dict(experiment))
            if name not in free and not (name in PLACES and _is_place(old) and _is_place(new))
        ]
        if edited:
            raise ConfigError(
                f"the settings are no longer those that the run was begun with ({'; '.join(edited)}); undo that to continue, or "
                "train a new run (--config FILE takes settings from a file)"
            )
        if world_size() != self.world_size:
            raise ConfigError(
                f"the run was begun with {self.world_size} process{'es' * (self.world_size > 1)} and cannot be continued with "
                f"{world_size()}, whose random numbers are others; use "
                + (
                    f"torchrun --nproc-per-node {self.world_size}"
                    if self.world_size > 1
                    else "mgm train --resume alone"
                )
            )


def _differences(then: dict[str, Any], now: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (setting, old value, new value) for each difference, ignoring settings that were added since."""
    for name, old in then.items():
        if is_mapping(old) and is_mapping(now.get(name)) and not prefix:
            yield from _differences(old, now[name], f"{name}.")
        elif name in now and now[name] != old:
            yield prefix + name, old, now[name]


def _is_place(value: Any) -> bool:
    return all(os.path.isabs(path) for path in (value if is_sequence(value) else [value]))
