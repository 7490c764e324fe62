"""Provenance of a run: how it was begun (resuming gives the same run), how it failed, its code, its machine and its cost."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import platform
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn

from mgm.config import Experiment
from mgm.data.files import write_text
from mgm.errors import ConfigError
from mgm.functional.distributed import rank, world_size
from mgm.plugins import plugin_files
from mgm.runs.folder import RunFolder, read_json, write_json
from mgm.runs.settings import in_words, to_dict
from mgm.training.metrics_log import Record, read_metrics_log
from mgm.training.trainer import Trainer
from mgm.training.updates import Stage
from mgm.types import is_mapping, is_sequence
from mgm.version import __version__

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
            if name not in free and not (name in PLACES and _are_places(old, new))
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
                f"{f'torchrun --nproc-per-node {self.world_size}' if self.world_size > 1 else 'mgm train --resume alone'}"
            )


def _differences(then: dict[str, Any], now: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (setting, old value, new value) for each difference, ignoring settings that were added since."""
    for name, old in then.items():
        if is_mapping(old) and is_mapping(now.get(name)) and not prefix:
            yield from _differences(old, now[name], f"{name}.")
        elif name in now and now[name] != old:
            yield prefix + name, old, now[name]


def _are_places(old: Any, new: Any) -> bool:
    """Whether both values are absolute paths, or equally long lists of them."""
    before, after = (value if is_sequence(value) else [value] for value in (old, new))
    return len(before) == len(after) and all(map(os.path.isabs, [*before, *after]))


@contextmanager
def recorded(folder: RunFolder) -> Generator[None]:
    """Context of a training: records an error (not an interruption) in ``failure.json``, and always writes ``metrics.csv``."""
    if rank() > 0:
        yield
        return
    folder.failure.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        write_json(folder.failure, {"error": type(error).__name__, "reason": str(error)})
        raise
    finally:
        write_history(folder)


def write_history(folder: RunFolder) -> None:
    """Write ``metrics.csv``, with a row per record of the metrics log and a column per loss and metric.

    Columns are named ``loss/UPDATE``, ``validation/TASK/METRIC`` and ``gradients/UPDATE/norm`` (``cosine``, ``ratio``); missing
    values are empty cells.
    """
    rows = [flat_record(record) for record in read_metrics_log(folder.metrics_log)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if rows:
        write_text(folder.history, text.getvalue())


def flat_record(record: Record) -> dict[str, Any]:
    """Flatten a record of the metrics log."""
    nested = {"loss": "losses", "validation": "validation", "gradients": "gradients"}
    rest = {key: value for key, value in record.items() if key not in nested.values()}
    return rest | flat({title: record.get(key, {}) for title, key in nested.items()})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested values, joining names with slashes."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}/") if is_mapping(value) else {prefix + name: value}
    return found


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


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Hash of the running source code, plugins included."""
    files = [*sorted(Path(__file__).parents[1].rglob("*.py")), *plugin_files()]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


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
        "command": read_json(folder.beginning, Beginning).command,
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
