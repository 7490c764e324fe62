"""Losses, scores, settings, results and pictures for TensorBoard, Weights & Biases and MLflow (`TrainingConfig.log`)."""

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
from typing import Any, ClassVar, cast, final

from torch import nn

from mgm.errors import ConfigError
from mgm.method.algorithm import stages
from mgm.runs.folder import RunFolder, read_json, read_result, write_json
from mgm.runs.settings import to_dict
from mgm.training.evaluate import Scores
from mgm.training.trainer import Progress
from mgm.training.updates import Stage


class Logger(ABC):
    """A service that keeps the figures of runs. Its methods may fail in any way: `Logged` sees to it that nothing else does.

    Args:
        folder: The run, which keeps the identity that the service gave it, so that a continued run goes on there.

    Raises:
        ConfigError: If its package is not installed.
    """

    module: ClassVar[str]
    """What has to be installed; the extra of `mgm` is called like the key in `LOGGERS`."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        self.folder = folder
        self.name = name
        try:
            self.package: Any = import_module(self.module)
        except ImportError:
            raise ConfigError(f"--log {name} needs a package that is missing: pip install 'mgm[{name}]'") from None

    @property
    def title(self) -> str:
        """Name of the run: that of its folder; of a baseline also that of the run it belongs to."""
        path = self.folder.path.resolve()
        return f"{path.parent.name}/{path.name}" if path.name == "baseline" else path.name

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the run."""
        return to_dict(self.folder.experiment())

    @property
    def _ids(self) -> Path:
        return self.folder.path / "loggers.json"

    def known_id(self) -> str:
        """What `keep_id` has kept; empty: nothing."""
        return read_json(self._ids, dict[str, str]).get(self.name, "") if self._ids.exists() else ""

    def keep_id(self, identity: str) -> None:
        """Keep the identity of the run for when it is continued."""
        known = read_json(self._ids, dict[str, str]) if self._ids.exists() else {}
        write_json(self._ids, known | {self.name: identity})

    @abstractmethod
    def open(self, step: int) -> None:
        """Begin, or go on after so many steps of all stages."""

    @abstractmethod
    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Figures after so many steps."""

    @abstractmethod
    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """The scores on the test set and the pictures of a run that is finished after so many steps."""

    @abstractmethod
    def close(self) -> None:
        """Send what is left."""


@final
class TensorBoard(Logger):
    """Event files in the run's folder. A continued run writes another one, which replaces what earlier ones say of later steps."""

    module = "torch.utils.tensorboard"

    def open(self, step: int) -> None:
        """Begin a file."""
        self._writer = self.package.SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point in each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Points after the last step, and images."""
        import numpy as np
        from PIL import Image

        self.scalars(step, values)
        for path in pictures:
            with Image.open(path) as picture:
                self._writer.add_image(path.stem, np.array(picture.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        """Write the file to the end."""
        self._writer.close()


@final
class WandB(Logger):
    """Weights & Biases, by the environment's settings (``WANDB_PROJECT``, else ``mgm``; ``WANDB_MODE=offline`` writes files)."""

    module = "wandb"

    def open(self, step: int) -> None:
        """Begin or resume the run."""
        identity = self.known_id() or secrets.token_hex(4)
        self.keep_id(identity)
        self._run = self.package.init(
            project=os.environ.get("WANDB_PROJECT", "mgm"),
            name=self.title,
            id=identity,
            resume="allow",
            dir=str(self.folder.path),
            config=self.settings,
            # a server that is away is not worth minutes of waiting
            settings=self.package.Settings(console="off", quiet=True, init_timeout=30, finish_timeout=120),
        )
        # steps of its own could not go back to those that a killed run had logged already
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point in each curve."""
        self._run.log({"step": step, **values})

    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """The run's summary, and images."""
        self._run.summary.update(dict(values))
        if pictures:
            images = {f"pictures/{path.stem}": self.package.Image(str(path)) for path in pictures}
            self._run.log({"step": step, **images})

    def close(self) -> None:
        """End the run as the service sees it."""
        self._run.finish()


@final
class MLflow(Logger):
    """MLflow, where ``MLFLOW_TRACKING_URI`` points; the experiment is ``MLFLOW_EXPERIMENT_NAME``, else ``mgm``."""

    module = "mlflow"

    def open(self, step: int) -> None:
        """Begin or resume the run."""
        # as for the service above
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
        for key, value in _flat(self.settings).items():
            self._client.log_param(self._id, key, value)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """A point in each curve."""
        metric: Any = import_module("mlflow.entities").Metric
        now = int(1000 * time.time())
        self._client.log_batch(self._id, metrics=[metric(name, value, now, step) for name, value in values.items()])

    def finish(self, step: int, values: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Metrics, images and the result as a file."""
        self.scalars(step, values)
        for path in pictures:
            self._client.log_artifact(self._id, str(path), "pictures")
        self._client.log_artifact(self._id, str(self.folder.result))

    def close(self) -> None:
        """End the run as the service sees it; one that goes on is resumed."""
        self._client.set_terminated(self._id)


LOGGERS: dict[str, type[Logger]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
"""`TrainingConfig.log` -> where the figures go. Each is an extra."""


class Logged(Progress):
    """Tells a logger about a training, by the names of the metrics log and against the steps of all stages together.

    A logger that fails (no network, no account) is given up with a warning; it never stops a training.
    """

    def __init__(self, logger: Logger, schedule: Sequence[Stage]) -> None:
        self.logger = logger
        self._starts = {stage.name: sum(s.steps for s in schedule[:number]) for number, stage in enumerate(schedule)}
        self._start, self._total = 0, sum(stage.steps for stage in schedule)
        self._open = self._failed = False

    def __exit__(self, *error: object) -> None:
        if self._open:
            self._try(self.logger.close)

    def stage(self, name: str, done: int, total: int) -> None:
        """A stage begins, or goes on after a pause; with the first one the logger does."""
        self._start = self._starts[name]
        if not self._open:
            self._open = True
            self._try(lambda: self.logger.open(self._start + done))

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Losses; scores come by `validated`."""
        losses = {f"loss/{name}": value for name, value in figures.items() if name != "score"}
        if losses:
            self._try(lambda: self.logger.scalars(self._start + done, losses))

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """Scores."""
        values = {"score": score, **_flat(scores, "validation/")}
        self._try(lambda: self.logger.scalars(self._start + done, values))

    def finish(self, result: Mapping[str, Any], pictures: Sequence[Path]) -> None:
        """The result of a finished run and its pictures."""
        kept = {name: value for name, value in _flat(result["test"], "test/").items() if value is not None}
        self._try(lambda: self.logger.open(self._total))
        self._try(lambda: self.logger.finish(self._total, kept, pictures))
        self._try(self.logger.close)

    def _try(self, call: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            call()
        except Exception as error:  # of networks, accounts, disks: any kind
            self._failed = True
            reason = shorten((str(error) or type(error).__name__).splitlines()[0], 200)
            print(f"warning: {self.logger.name} logs no more of this run ({reason})", file=sys.stderr, flush=True)


def make_loggers(folder: RunFolder, names: Sequence[str], schedule: Sequence[Stage]) -> list[Logged]:
    """One for each name.

    Raises:
        ConfigError: If a package is not installed.
    """
    return [Logged(LOGGERS[name](folder, name), schedule) for name in names]


def log_result(folder: RunFolder) -> None:
    """Tell the loggers of a finished run its result, with the pictures that its folder has."""
    experiment = folder.experiment()
    for logged in make_loggers(folder, experiment.training.log, stages(experiment)):
        logged.finish(read_result(folder.result), sorted(folder.pictures.glob("*.png")))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values in one level, the names joined by slashes."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(cast("dict[str, Any]", value), f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat
