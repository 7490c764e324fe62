"""Composition of the trainer's callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from torch import nn

from mgm.training.evaluate import Scores
from mgm.training.trainer import Progress


class Watchers(Progress):
    """A callback that calls several others.

    Args:
        members: Callbacks in calling order.
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

    def stage(self, name: str, done: int, total: int, best: float) -> None:
        """A stage starts or resumes."""
        for member in self.members:
            member.stage(name, done, total, best)

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Losses or scores were logged after step ``done``."""
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
