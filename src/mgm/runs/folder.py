"""The folder of a run: its files, how they are read and written, and its lock."""

from __future__ import annotations

import json
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
    from mgm.runs.beginning import Beginning
    from mgm.runs.images import RunImages

Scores = dict[str, dict[str, float | None]]
"""Task -> metric -> value; null where it could not be computed."""


Classes = dict[str, dict[str, dict[str, float | None]]]
"""Task -> class -> ``iou`` and ``pixels``, its share of the labelled pixels."""


MAX_JSON_BYTES = 1 << 28


class Stopped(TypedDict):
    """Where a stage ended early."""

    step: int
    of: int
    """Its steps in the settings."""


class Baseline(TypedDict, total=False):
    """What ``result.json`` says of the baseline."""

    recipe: Required[str]
    steps: Required[int]
    stopped: dict[str, Stopped]
    validation: Scores
    test: Required[Scores]
    classes: Classes
    pretrained: str


class Result(TypedDict, total=False):
    """``result.json`` of a finished run."""

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
    """Updates of M on labelled batches that the settings give; of these `stopped` may have left out some."""
    best_step: int | None
    best_steps: dict[str, int]
    """Step of the best model, under the name ``all``; where tasks share no layer, task -> that of its own network."""
    best_stage: str
    stopped: dict[str, Stopped]
    """Stage that ended early (`TrainingConfig.patience`) -> where."""
    earlier: dict[str, Any]
    """The best model from before the last stage, where it was better on the validation set."""
    seconds: float
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
    """On the test set; classes that are neither labelled nor predicted are absent."""
    worst: list[str]
    """Names of the test images on which it errs most, the worst first (`mgm.training.evaluate.worst_images`)."""
    diversity: dict[str, dict[str, float | None]]
    """Of generated and of real images (`mgm.runs.diversity`)."""
    constant: Scores
    pretrained: str
    """What the encoder was pre-trained on; empty: from scratch."""
    baseline: Baseline
    gain: dict[str, float | None]
    """Task -> improvement over the baseline, a fraction; and their ``mean``."""


class Failure(TypedDict):
    """``failure.json`` of a run whose training failed."""

    error: str
    """Name of the exception."""
    reason: str


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run and access to its files."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings."""
        return self.path / "config.yaml"

    @property
    def dataset(self) -> Path:
        """What the data set offers, so that prediction works without it."""
        return self.path / "dataset.json"

    @property
    def beginning(self) -> Path:
        """How the run was begun, see `Beginning`."""
        return self.path / "begun.json"

    @property
    def images(self) -> Path:
        """Its images, see `RunImages`."""
        return self.path / "images.json"

    @property
    def metrics_log(self) -> Path:
        """The metrics log: losses and validation scores, one JSON record per line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of weights."""
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        """Folder of figures."""
        return self.path / "pictures"

    @property
    def result(self) -> Path:
        """Final scores; exists once the run is finished."""
        return self.path / "result.json"

    @property
    def test_images(self) -> Path:
        """Which images the test set has (``images``, indices) and the sums over each that scores are made of (``TASK.SUM``)."""
        return self.path / "test_images.npz"

    @property
    def confusion(self) -> Path:
        """Task -> `mgm.tasks.base.Confusion` on the test set, for tasks with classes."""
        return self.path / "confusion.json"

    @property
    def history(self) -> Path:
        """The metrics log as a table."""
        return self.path / "metrics.csv"

    @property
    def failure(self) -> Path:
        """Why the training failed; exists until it is continued."""
        return self.path / "failure.json"

    @property
    def baseline(self) -> RunFolder:
        """The equal-budget multi-task run that belongs to this one."""
        return RunFolder(self.path / "baseline")

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config.exists()

    @property
    def finished(self) -> bool:
        """Whether the final scores exist."""
        return self.result.exists()

    @property
    def _lock_file(self) -> Path:
        return self.path / ".lock"

    @property
    def in_use(self) -> bool:
        """Whether a process is training here now."""
        if not self._lock_file.exists():
            return False
        lock = FileLock(self._lock_file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        except OSError:  # not writable, so nobody trains there
            return False
        lock.release()
        return False

    def create(self, experiment: Experiment, info: DatasetInfo, beginning: Beginning, images: RunImages) -> FileLock:
        """Create the folder of a new run, and lock it. The settings come last: they are what a run is recognised by.

        Raises:
            RunError: If the folder is not empty, cannot be created, or another process is training there.
        """
        self._check_empty()
        try:
            for folder in (self.checkpoints, self.pictures):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot create {self.path} ({error.strerror}); choose another folder with --out") from None
        lock = self.lock()
        self._check_empty()  # another process may have been faster
        write_json(self.dataset, asdict(info))
        images.write(self.images)
        write_json(self.beginning, asdict(beginning))
        write_text(self.config, to_yaml(experiment))
        return lock

    def _check_empty(self) -> None:
        """Raise `RunError` where there is more than a run that was killed at its start leaves."""
        begun = {self.dataset, self.images, self.beginning, self._lock_file}
        if any(file.is_file() and file not in begun and not file.match(DRAFT) for file in self.path.rglob("*")):
            if self.exists:
                self.lock().release()  # says so if another process is training here
            remedy = f"continue it with --resume {self.path}, or choose" if self.exists else "choose"
            raise RunError(f"{self.path} is not empty; {remedy} another folder with --out")

    def experiment(self) -> Experiment:
        """The run's settings.

        Raises:
            RunError: If the folder holds no run.
        """
        if not self.exists:
            raise RunError(
                f"{self.path} is no run folder (no config.yaml); runs are made by: mgm train --out {self.path}"
            )
        return from_yaml(self.config)

    def info(self) -> DatasetInfo:
        """What the run's data set offers."""
        return read_json(self.dataset, DatasetInfo)

    def lock(self) -> FileLock:
        """Lock the folder, so that no second process trains in it, and sweep what killed ones left.

        Raises:
            RunError: If another process has locked it.
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
        """Remove what processes have left that were killed while they wrote; nobody else may train here."""
        for draft in self.path.rglob(DRAFT):
            with suppress(OSError):
                draft.unlink()


def read_result(path: Path) -> dict[str, Any]:
    """A ``result.json``.

    Raises:
        RunError: If it is missing or damaged, or an entry has another type than in `Result`.
    """
    return dict(read_json(path, Result))


def read_json(path: Path, kind: type[Content]) -> Content:
    """A JSON file of a run or an experiment.

    Args:
        path: The file.
        kind: What it holds, a `TypedDict` or a dataclass.

    Raises:
        RunError: If it is missing, damaged, too large or no file, or has an entry of another type than in ``kind``.
    """
    try:
        return schema(kind).validate_json(read_bounded(path, MAX_JSON_BYTES))
    except FileNotFoundError:
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
