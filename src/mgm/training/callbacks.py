"""Callbacks of the trainer beside the progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from mgm.errors import ConfigError
from mgm.training.evaluate import Scores
from mgm.training.trainer import Progress
from mgm.training.updates import Stage

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Watchers(Progress):
    """Several callbacks as one.

    Args:
        members: In the order in which they are called.
    """

    def __init__(self, members: Sequence[Progress]) -> None:
        self.members = tuple(members)
        self._entered = ExitStack()

    def __enter__(self) -> Watchers:
        for member in self.members:
            self._entered.enter_context(member)  # type: ignore[arg-type]
        return self

    def __exit__(self, *error: object) -> None:
        self._entered.close()

    def stage(self, name: str, done: int, total: int) -> None:
        """A stage begins, or goes on after a pause."""
        for member in self.members:
            member.stage(name, done, total)

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Steps were done; figures are the latest losses or scores."""
        for member in self.members:
            member.step(done, figures)

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """The model was scored on the validation set."""
        for member in self.members:
            member.validated(done, scores, score, model)

    def stopped(self, done: int, waited: int) -> None:
        """The stage ends early."""
        for member in self.members:
            member.stopped(done, waited)


class TensorBoard(Progress):
    """Losses and validation scores as TensorBoard reads them, against the steps of all stages together.

    A run that is continued writes another file, which replaces what the earlier ones say of later steps.

    Args:
        folder: Where the files go.
        stages: Of the training, in their order.

    Raises:
        ConfigError: If the package is not installed.
    """

    def __init__(self, folder: Path, stages: Sequence[Stage]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError("--tensorboard needs a package that is missing: pip install 'mgm[tensorboard]'") from None
        self._make_writer = SummaryWriter
        self.folder = folder
        self.starts = {stage.name: sum(s.steps for s in stages[:number]) for number, stage in enumerate(stages)}
        self._writer: SummaryWriter | None = None
        self._start = 0

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer:
            self._writer.close()

    def stage(self, name: str, done: int, total: int) -> None:
        """A stage begins, or goes on after a pause; the first opens the file."""
        self._start = self.starts[name]
        if not self._writer:
            self._writer = self._make_writer(str(self.folder), purge_step=self._start + done + 1)

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Losses."""
        assert self._writer
        for name, value in figures.items():
            if name != "score":
                self._writer.add_scalar(f"loss/{name}", value, self._start + done)

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """Scores."""
        assert self._writer
        self._writer.add_scalar("validation/score", score, self._start + done)
        for task, metrics in scores.items():
            for metric, value in metrics.items():
                self._writer.add_scalar(f"validation/{task}/{metric}", value, self._start + done)
        self._writer.flush()
