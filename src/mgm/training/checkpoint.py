"""Files that are whole or absent, such as checkpoints: written beside their place, then moved there."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ConfigDict, ValidationError
from torch import Tensor, nn
from typing_extensions import TypedDict

from mgm.data.files import check_bounded, schema, write_atomically
from mgm.errors import RunError, first_problem

WEIGHTS = ("model", "networks", "generator")
"""Entries of checkpoints that are weights, which have to be finite."""
MAX_CHECKPOINT_BYTES = 1 << 36
"""A larger file of weights is refused unread."""
Weights = dict[str, Tensor]


@dataclass
class Position:
    """How far a training has come: everything that a checkpoint holds apart from weights."""

    stage: int = 0
    step: int = 0
    """Steps done in the stage."""
    best: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])
    """Score on the validation set and step (`Trainer.steps_done`) of the best model of the last stage, which is the run's; where
    tasks share no layer, task -> those of its own network, else under the name `WHOLE`."""
    earlier: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])
    """The same before the last stage."""
    top: float = -math.inf
    """Best score of the stage so far."""
    waited: int = 0
    """Validations since then."""
    stopped: dict[str, int] = field(default_factory=dict[str, int])
    """Stage that was ended early -> its steps."""
    log_size: int = 0
    seconds: float = 0.0
    """Time spent training, in all sittings."""


class SavedModel(TypedDict):
    """``best.pt`` and ``best_earlier.pt``."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # pyright: ignore[reportGeneralTypeIssues]
    model: Weights


class TrainingState(TypedDict):
    """``last.pt``: all that a training needs to go on."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # pyright: ignore[reportGeneralTypeIssues]
    position: dict[str, Any]
    """Fields of `Position`."""
    networks: Weights
    optimizers: dict[str, dict[str, Any]]
    recent: list[dict[str, Tensor]]
    """Losses of the steps that the metrics log does not have yet."""
    average: dict[str, Any] | None
    """Of `mgm.training.ema.WeightAverage`, if there is one."""


State = TypeVar("State")


def make_folder(path: Path) -> None:
    """Create a folder unless it is there.

    Raises:
        RunError: If that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot create {path} ({error.strerror}); choose another place with --out") from None


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Save tensors and plain values; whatever was at ``path`` stays until the new file is complete."""
    content = io.BytesIO()  # of a disk that is full while torch writes to it, torch makes errors of its own, or aborts
    torch.save(dict(state), content)
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def load_checkpoint(path: Path, kind: type[State] = dict[str, Any], device: torch.device | str = "cpu") -> State:
    """Load a checkpoint without running any code from it (``weights_only=True``), and check it: every byte, types, weights.

    Args:
        path: The file.
        kind: What it has to hold, a `TypedDict`.
        device: Where its tensors are wanted.

    Raises:
        RunError: If the file is missing, damaged, or holds anything else, or weights that are not finite.
    """
    try:
        check_bounded(path, MAX_CHECKPOINT_BYTES)
        _check_archive(path)
        state = torch.load(path, map_location=device, weights_only=True)
        schema(kind).validate_python(state)
        for name in WEIGHTS:
            check_finite(name, state.get(name, {}))
    except FileNotFoundError:
        raise RunError(f"{path} does not exist; the run has not come that far (continue it with --resume)") from None
    except ValidationError as error:
        raise RunError(
            f"{path} is no checkpoint of this kind ({first_problem(error)}); delete it or train again"
        ) from None
    except Exception as error:  # a damaged file can fail in any way the unpickler knows
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is damaged or no checkpoint of mgm ({reason}); delete it or train again") from None
    return state


Network = TypeVar("Network", bound=nn.Module)


def rebuild(build: Callable[[], Network], weights: Weights, where: Path) -> Network:
    """A network with saved weights. Its shapes are compared with theirs before it takes any memory.

    Args:
        build: Makes the network; called twice.
        weights: Its state.
        where: They come from, for the message.

    Raises:
        RunError: If they do not fit.
    """
    try:
        with torch.device("meta"):
            expected = build().state_dict()
        for name in (*expected, *weights):
            shapes = [tuple(state[name].shape) if name in state else "nothing" for state in (expected, weights)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"{name} is {shapes[1]} there, {shapes[0]} in the network")
        network = build()
        network.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(
            f"the weights in {where} do not fit its settings ({reason}); restore them or train again"
        ) from None
    return network


def _check_archive(path: Path) -> None:
    """Raise unless a file is what `torch.save` writes: an archive, nothing in it compressed, its checksums right."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its content is compressed")
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} is wrong")


def check_finite(name: str, weights: Weights) -> None:
    """Raise `ValueError` for weights that are NaN or infinite, whose network is called ``name``."""
    for key, values in weights.items():
        if values.is_floating_point() and not values.isfinite().all():
            raise ValueError(f"{name}.{key} is not finite")
