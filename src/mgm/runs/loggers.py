"""Loggers for TensorBoard, Weights & Biases and MLflow (`TrainingConfig.log`): losses, scores, settings, results, figures."""

from __future__ import annotations

import os
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar, final

from torch import nn

from mgm.errors import ConfigError, reason_of
from mgm.method.algorithm import stages
from mgm.runs.folder import RunFolder, read_json, read_result, write_json
from mgm.runs.provenance import flat
from mgm.runs.settings import to_dict
from mgm.training.evaluate import Scores
from mgm.training.trainer import Progress
from mgm.training.updates import Stage

IDS = "loggers.json"
"""File of a run folder with the trackers' identifiers of the run."""


class Logger(ABC):
    """Interface to an experiment tracker. Methods may raise anything; `Logged` handles the errors.

    Args:
        folder: The run's folder, which also stores the tracker's identifier of the run, so that a resumed run continues there.
        name: Key in `LOGGERS`.

    Raises:
        ConfigError: If the tracker's package is not installed.
    """

    module: ClassVar[str]
    """Module of the package; the extra of `mgm` that installs it has the name of the key in `LOGGERS`."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        self.folder = folder
        self.name = name
        try:
            self.package: Any = import_module(self.module)
        except ImportError:
            raise ConfigError(f"--log {name} needs a package that is missing: pip install 'mgm[{name}]'") from None

    @property
    def title(self) -> str:
        """Title of the run: the name of its folder; for a baseline, preceded by that of its run."""
        path = self.folder.path.resolve()
        return f"{path.parent.name}/{path.name}" if path.name == "baseline" else path.name

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run."""
        return to_dict(self.folder.experiment())

    def _known(self) -> dict[str, str]:
        file = self.folder.path / IDS
        return read_json(file, dict[str, str]) if file.exists() else {}

    def known_id(self) -> str:
        """The tracker's identifier that `keep_id` has saved; empty if there is none."""
        return self._known().get(self.name, "")

    def keep_id(self, identity: str) -> None:
        """Save the tracker's identifier of the run, for resuming."""
        write_json(self.folder.path / IDS, self._known() | {self.name: identity})

    @abstractmethod
    def open(self, step: int) -> None:
        """Start logging, or resume it after ``step`` steps of all stages."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values after ``step`` steps."""

    @abstractmethod
    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Log test scores and figures of a finished run of ``step`` steps."""

    @abstractmethod
    def close(self) -> None:
        """Flush and close."""


@final
class _TensorBoard(Logger):
    """Event files in the run's folder. A resumed run starts a new file, which supersedes later steps in earlier files."""

    module = "torch.utils.tensorboard"

    def open(self, step: int) -> None:
        self._writer = self.package.SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        import numpy as np
        from PIL import Image

        self.scalars(step, values)
        for path in pictures:
            with Image.open(path) as picture:
                self._writer.add_image(path.stem, np.array(picture.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


@final
class _WandB(Logger):
    """Weights & Biases, configured by environment variables (``WANDB_PROJECT``, default ``mgm``; ``WANDB_MODE=offline``)."""

    module = "wandb"

    def open(self, step: int) -> None:
        identity = self.known_id() or secrets.token_hex(4)
        self.keep_id(identity)
        self._run = self.package.init(
            project=os.environ.get("WANDB_PROJECT", "mgm"),
            name=self.title,
            id=identity,
            resume="allow",
            dir=str(self.folder.path),
            config=self.settings,
            # do not wait for minutes for a server that cannot be reached
            settings=self.package.Settings(console="off", quiet=True, init_timeout=30, finish_timeout=120),
        )
        # W&B's own steps cannot go back, as they would have to after a killed run
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        self._run.summary.update(dict(values))
        if pictures:
            images = {f"pictures/{path.stem}": self.package.Image(str(path)) for path in pictures}
            self._run.log({"step": step, **images})

    def close(self) -> None:
        self._run.finish()


@final
class _MLflow(Logger):
    """MLflow at ``MLFLOW_TRACKING_URI``; the experiment is ``MLFLOW_EXPERIMENT_NAME``, by default ``mgm``."""

    module = "mlflow"

    def open(self, step: int) -> None:
        # do not wait for minutes for a server that cannot be reached
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        self._client = self.package.MlflowClient()
        self._id = self.known_id()
        if self._id:
            self._client.update_run(self._id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mgm")
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        self._id = self._client.create_run(experiment, run_name=self.title).info.run_id
        self.keep_id(self._id)
        for key, value in flat(self.settings).items():
            self._client.log_param(self._id, key, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        metric: Any = import_module("mlflow.entities").Metric
        now = int(1000 * time.time())
        self._client.log_batch(self._id, metrics=[metric(name, value, now, step) for name, value in values.items()])

    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        self.scalars(step, values)
        for path in pictures:
            self._client.log_artifact(self._id, str(path), "pictures")
        self._client.log_artifact(self._id, str(self.folder.result))

    def close(self) -> None:
        self._client.set_terminated(self._id)


LOGGERS: dict[str, type[Logger]] = {"tensorboard": _TensorBoard, "wandb": _WandB, "mlflow": _MLflow}
"""`TrainingConfig.log` -> class. Each needs the extra of the same name."""


class Logged(Progress):
    """Callback that passes losses and scores of a training to a logger, with steps counted over all stages.

    A logger that raises (no network, no account) is disabled with a warning; it never stops the training.
    """

    def __init__(self, logger: Logger, schedule: Sequence[Stage]) -> None:
        self.logger = logger
        self._starts = {stage.name: sum(s.steps for s in schedule[:number]) for number, stage in enumerate(schedule)}
        self._start, self._total = 0, sum(stage.steps for stage in schedule)
        self._open = self._failed = False

    def __exit__(self, *error: object) -> None:
        if self._open:
            self._try(self.logger.close)

    def stage(self, name: str, done: int, total: int, best: float) -> None:
        """A stage starts or resumes; the logger is opened with the first one."""
        self._start = self._starts[name]
        if not self._open:
            self._open = True
            self._try(lambda: self.logger.open(self._start + done))

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Log losses; scores are logged by `validated`."""
        losses = {f"loss/{name}": value for name, value in figures.items() if name != "score"}
        if losses:
            self._try(lambda: self.logger.scalars(self._start + done, losses))

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """Log validation scores."""
        values = {"score": score, **flat(scores, "validation/")}
        self._try(lambda: self.logger.scalars(self._start + done, values))

    def finish(self, result: Mapping[str, Any], pictures: Sequence[Path]) -> None:
        """Log the result of a finished run and its figures."""
        kept = {name: value for name, value in flat(result["test"], "test/").items() if value is not None}
        self._try(lambda: self.logger.open(self._total))
        self._try(lambda: self.logger.finish(self._total, kept, pictures))
        self._try(self.logger.close)

    def _try(self, call: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:  # trackers raise many kinds of errors: network, account, disk
            self._failed = True
            reason = shorten(reason_of(error), 200)
            print(f"warning: {self.logger.name} logs no more of this run ({reason})", file=sys.stderr, flush=True)


def make_loggers(folder: RunFolder, names: Sequence[str], schedule: Sequence[Stage]) -> list[Logged]:
    """Make the logger callbacks with the given names (keys of `LOGGERS`). Raises `ConfigError` if a package is not installed."""
    return [Logged(LOGGERS[name](folder, name), schedule) for name in names]


def log_result(folder: RunFolder) -> None:
    """Pass the result of a finished run, and the figures in its folder, to its loggers."""
    experiment = folder.experiment()
    for logged in make_loggers(folder, experiment.training.log, stages(experiment)):
        logged.finish(read_result(folder.result), sorted(folder.pictures.glob("*.png")))
