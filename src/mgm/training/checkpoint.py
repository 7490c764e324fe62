"""Checkpoints: written atomically, and loaded without running code from them."""

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
from mgm.errors import RunError, first_problem, reason_of

WEIGHTS = ("model", "networks", "generator")
"""Entries of checkpoints that hold weights, which must be finite."""
MAX_CHECKPOINT_BYTES = 1 << 36
"""Largest checkpoint that is read, in bytes."""
Weights = dict[str, Tensor]


@dataclass
class Position:
    """Progress of a training: the plain values of a checkpoint."""

    stage: int = 0
    step: int = 0
    """Steps done in the stage."""
    best: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])
    """Validation score and step (`Trainer.steps_done`) of the last stage's best model, which is the run's model. If tasks share no
    layer, one entry per task for its own network; otherwise one entry named `WHOLE`."""
    earlier: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])
    """The same for the stages before the last."""
    top: float = -math.inf
    """Best validation score of the current stage."""
    waited: int = 0
    """Validations since the best one (`TrainingConfig.patience`)."""
    stopped: dict[str, int] = field(default_factory=dict[str, int])
    """Stage that was stopped early -> steps done in it."""
    log_size: int = 0
    """Size of the metrics log in bytes (`MetricsLog.cut`)."""
    seconds: float = 0.0
    """Time spent training the model, interruptions excluded; whoever trained it, so `shared_seconds` are part of it."""
    shared_seconds: float = 0.0
    """Time that another run spent on the first stages, which this run took over."""


class SavedModel(TypedDict):
    """Content of ``best.pt`` and ``best_earlier.pt``."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # pyright: ignore[reportGeneralTypeIssues]
    model: Weights


class TrainingState(TypedDict):
    """Content of ``last.pt``, from which a training resumes."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # pyright: ignore[reportGeneralTypeIssues]
    position: dict[str, Any]
    """Fields of `Position`."""
    networks: Weights
    optimizers: dict[str, dict[str, Any]]
    recent: list[dict[str, Tensor]]
    """Losses of the steps since the last line of the metrics log."""
    average: dict[str, Any] | None
    """State of `mgm.training.ema.WeightAverage`, if there is one."""


State = TypeVar("State")


def make_folder(path: Path) -> None:
    """Create a folder unless it exists.

    Raises:
        RunError: If it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot create {path} ({error.strerror}); choose another place with --out") from None


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Save tensors and plain values atomically: an existing file is replaced only when the new one is complete."""
    content = io.BytesIO()  # written to a full disk, torch raises its own errors or aborts the process
    torch.save(dict(state), content)
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def load_checkpoint(path: Path, kind: type[State] = dict[str, Any], device: torch.device | str = "cpu") -> State:
    """Load a checkpoint without running code from it (``weights_only=True``), and check its checksums, types and weights.

    Args:
        path: The file.
        kind: `TypedDict` that describes the expected content.
        device: Device to load the tensors to.

    Raises:
        RunError: If the file is missing or damaged, has other content, or contains weights that are not finite.
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
    except Exception as error:  # a damaged file can make the unpickler raise anything
        raise RunError(
            f"{path} is damaged or no checkpoint of mgm ({reason_of(error)}); delete it or train again"
        ) from None
    return state


Network = TypeVar("Network", bound=nn.Module)


def rebuild(build: Callable[[], Network], weights: Weights, where: Path) -> Network:
    """Build a network and load saved weights; shapes are compared first, before the network takes any memory.

    Args:
        build: Makes the network; called twice.
        weights: State dict to load.
        where: File that the weights come from, for the error message.

    Raises:
        RunError: If names or shapes of the weights do not match.
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
        raise RunError(
            f"the weights in {where} do not fit its settings ({reason_of(error)}); restore them or train again"
        ) from None
    return network


def _check_archive(path: Path) -> None:
    """Check that a file is an archive as `torch.save` writes it, uncompressed and with correct checksums.

    Raises:
        ValueError: If its content is compressed or a checksum is wrong.
        zipfile.BadZipFile: If it is not an archive.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its content is compressed")
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} is wrong")


def check_finite(name: str, weights: Weights) -> None:
    """Raise `ValueError` if any weight of the network ``name`` is NaN or infinite."""
    for key, values in weights.items():
        if values.is_floating_point() and not values.isfinite().all():
            raise ValueError(f"{name}.{key} is not finite")
