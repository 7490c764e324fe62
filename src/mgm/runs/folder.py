"""The run folder: its files, reading and writing them, and its lock."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Required

from filelock import FileLock, Timeout
from pydantic import ConfigDict, ValidationError
from typing_extensions import TypedDict

from mgm.config import Experiment
from mgm.data.files import DRAFT, Content, read_bounded, schema, write_text
from mgm.errors import RunError, first_problem
from mgm.runs.settings import from_yaml, to_yaml
from mgm.training.metrics_log import plain
from mgm.types import DatasetInfo

if TYPE_CHECKING:
    import torch

    from mgm.runs.images import RunImages
    from mgm.runs.provenance import Beginning
    from mgm.training.checkpoint import Weights

Scores = dict[str, dict[str, float | None]]
"""Task -> metric -> value; null where it could not be computed."""
Classes = dict[str, dict[str, dict[str, float | None]]]
"""Task -> class -> ``iou`` and ``pixels``, its share of the labelled pixels."""
MAX_JSON_BYTES = 1 << 28


class Stopped(TypedDict):
    """Early end of a stage."""

    step: int
    """Steps done."""
    of: int
    """Steps that the settings give the stage."""


class Baseline(TypedDict, total=False):
    """The baseline's entry in ``result.json``."""

    recipe: Required[str]
    steps: Required[int]
    stopped: dict[str, Stopped]
    seconds: float
    shared_seconds: float
    validation: Scores
    test: Required[Scores]
    classes: Classes
    pretrained: str


class Result(TypedDict, total=False):
    """Content of ``result.json`` of a finished run."""

    __pydantic_config__ = ConfigDict(extra="allow")  # pyright: ignore[reportGeneralTypeIssues]
    recipe: Required[str]
    data: Required[str]
    fraction: float
    seed: int
    image_size: int | str
    """See `mgm.types.plain_size`."""
    aspect: str
    num_labelled: Required[int]
    steps: Required[int]
    """Updates of M on labelled batches according to the settings; early stopping may have skipped some (`stopped`)."""
    best_step: int | None
    best_steps: dict[str, int]
    """Step of the best model under the key ``all``; if tasks share no layer, one entry per task for its own network."""
    best_stage: str
    stopped: dict[str, Stopped]
    """Stage that ended early (`TrainingConfig.patience`) -> where."""
    earlier: dict[str, Any]
    """Step and scores of the best model of earlier stages, if it was better on the validation set."""
    seconds: float
    """Training time of this model, including stages that another run trained and this one took over."""
    shared_seconds: float
    """Training time of those stages, part of ``seconds``."""
    command: str
    commit: str | None
    versions: dict[str, str]
    device: str
    world_size: int
    parameters: dict[str, int]
    updates: dict[str, int]
    peak_memory_mb: float | None
    validation: Scores
    test: Required[Scores]
    classes: Classes
    """Per-class scores on the test set; classes that are neither labelled nor predicted are absent."""
    worst: list[str]
    """Names of the test images with the largest errors, worst first (`mgm.training.evaluate.worst_images`)."""
    diversity: dict[str, dict[str, float | None]]
    """Diversity of generated and of real images (`mgm.runs.diversity`)."""
    constant: Scores
    """Scores of the constant predictor on the test set."""
    pretrained: str
    """Data that the encoder was pre-trained on; empty: trained from scratch."""
    baseline: Baseline
    gain: dict[str, float | None]
    """Task -> relative improvement over the baseline, a fraction; ``mean`` -> their mean."""


class Failure(TypedDict):
    """Content of ``failure.json`` of a run whose training failed."""

    error: str
    """Name of the exception."""
    reason: str


class Inside:
    """A file or folder with a fixed name inside the ``path`` of a `RunFolder` or a model folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: Any, kind: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run's files, and access to them."""

    path: Path

    config = Inside("config.yaml")
    """Settings."""
    dataset = Inside("dataset.json")
    """Description of the data set, so that prediction works without the data."""
    beginning = Inside("begun.json")
    """Command, settings and processes that the run was started with, see `Beginning`."""
    images = Inside("images.json")
    """Images that the run uses, see `RunImages`."""
    metrics_log = Inside("metrics.jsonl")
    """The metrics log: losses and validation scores, one JSON record per line."""
    checkpoints = Inside("checkpoints")
    """Folder of checkpoints."""
    pictures = Inside("pictures")
    """Folder of figures."""
    result = Inside("result.json")
    """Final scores; exists once the run is finished."""
    test_images = Inside("test_images.npz")
    """Indices of the test images (``images``) and the per-image sums from which scores are computed (``TASK.SUM``)."""
    confusion = Inside("confusion.json")
    """Task -> `mgm.tasks.base.Confusion` on the test set, for tasks with classes."""
    history = Inside("metrics.csv")
    """The metrics log as a table."""
    failure = Inside("failure.json")
    """Error with which the training failed; removed when it is resumed."""
    _lock_file = Inside(".lock")

    @property
    def baseline(self) -> RunFolder:
        """Folder of the baseline trained with the same budget."""
        return RunFolder(self.path / "baseline")

    @property
    def exists(self) -> bool:
        """Whether the folder contains a run."""
        return self.config.exists()

    @property
    def finished(self) -> bool:
        """Whether the final scores exist."""
        return self.result.exists()

    @property
    def in_use(self) -> bool:
        """Whether a process is currently training in the folder."""
        if not self._lock_file.exists():
            return False
        lock = FileLock(self._lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # not writable, so no process can train there
            return False
        lock.release()
        return False

    def create(self, experiment: Experiment, info: DatasetInfo, beginning: Beginning, images: RunImages) -> FileLock:
        """Create and lock the folder of a new run. The settings are written last, since they mark the folder as a run.

        Raises:
            RunError: If the folder is not empty, cannot be created, or is used by another process.
        """
        self.check_empty()
        try:
            for folder in (self.checkpoints, self.pictures):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot create {self.path} ({error.strerror}); choose another folder with --out") from None
        lock = self.lock()
        self.check_empty()  # another process may have been faster
        write_json(self.dataset, asdict(info))
        images.write(self.images)
        write_json(self.beginning, asdict(beginning))
        write_text(self.config, to_yaml(experiment))
        return lock

    def check_empty(self) -> None:
        """Raise `RunError` if the folder contains more than what a run killed at its start leaves behind."""
        begun = {self.dataset, self.images, self.beginning, self._lock_file}
        if any(file.is_file() and file not in begun and not file.match(DRAFT) for file in self.path.rglob("*")):
            if self.exists:
                self.lock().release()  # raises the more specific error if another process is training here
            remedy = f"continue it with --resume {self.path}, or choose" if self.exists else "choose"
            raise RunError(f"{self.path} is not empty; {remedy} another folder with --out")

    def experiment(self) -> Experiment:
        """The run's settings. Raises `RunError` if the folder contains no run."""
        if self.path.is_file():
            raise RunError(
                f"{self.path} is a file; give the folder of the run or of the exported model that it belongs to"
            )
        if (self.path / "config.json").is_file() and not self.exists:
            raise RunError(f"{self.path} is an exported model; this needs the folder of its run, as mgm train made it")
        if not self.exists:
            raise RunError(
                f"{self.path} is no run folder (no config.yaml); runs are made by: mgm train --out {self.path}"
            )
        return from_yaml(self.config)

    def info(self) -> DatasetInfo:
        """The description of the run's data set. Raises `RunError` if the file is missing or damaged."""
        return read_json(self.dataset, DatasetInfo)

    def best_weights(self, device: torch.device | str = "cpu") -> Weights:
        """Load the weights of the best model. Raises `RunError` if there are none yet, or the file is missing or damaged."""
        from mgm.training.checkpoint import SavedModel, load_checkpoint  # imports torch

        path = self.checkpoints / "best.pt"
        if self.finished and not path.exists():
            raise missing(path)
        return load_checkpoint(path, SavedModel, device)["model"]

    def lock(self) -> FileLock:
        """Lock the folder against other trainings, and remove partial files of killed processes.

        Raises:
            RunError: If another process has locked the folder, or it is not writable.
        """
        lock = FileLock(self._lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(f"another process is training in {self.path}; wait for it or stop it") from None
        except OSError as error:
            raise RunError(f"cannot lock {self.path} ({error.strerror}); choose another folder with --out") from None
        self.remove_drafts()
        return lock

    def remove_drafts(self) -> None:
        """Remove partial files that killed processes left; no other process may be training in the folder."""
        for draft in self.path.rglob(DRAFT):
            with suppress(OSError):
                draft.unlink()


def read_result(path: Path) -> dict[str, Any]:
    """Read a ``result.json``.

    Raises:
        RunError: If it is missing or damaged, or an entry does not have the type given in `Result`.
    """
    return dict(read_json(path, Result))


def seconds_spent(results: Iterable[Mapping[str, Any]]) -> float:
    """Training time of some runs or baselines together, where stages that one took over from another are counted once."""
    return sum(result.get("seconds", 0.0) - result.get("shared_seconds", 0.0) for result in results)


def missing(path: Path) -> RunError:
    """The error for a file that a run has had and has no longer."""
    return RunError(f"{path} is missing; restore it, or train again into another folder")


def read_json(path: Path, kind: type[Content]) -> Content:
    """Read and validate a JSON file of a run or an experiment against a `TypedDict` or a dataclass.

    Raises:
        RunError: If the file is missing, unreadable, damaged or too large, or an entry does not have the type given in ``kind``.
    """
    try:
        return schema(kind).validate_json(read_bounded(path, MAX_JSON_BYTES))
    except FileNotFoundError:
        folder = RunFolder(path.parent)
        if folder.finished or path in (folder.dataset, folder.images, folder.beginning):
            raise missing(path) from None
        raise RunError(
            f"{path} does not exist; what it belongs to is not finished (go on with --resume, an experiment with its command)"
        ) from None
    except ValidationError as error:
        raise RunError(f"{path} is damaged ({first_problem(error)}); restore it or train again") from None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); restore it or train again") from None


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values atomically; NaN becomes null."""
    text = json.dumps(plain(values), indent=2) + "\n"
    write_text(path, text)
