"""A progress bar with the key figures, on standard error; plain lines where it is no terminal."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mgm.functional.distributed import rank
from mgm.training.trainer import Progress as TrainingProgress

BAR_WIDTH = 72
"""Columns that description, bar, count and times take up."""
LINE_EVERY_S = 30.0
"""Seconds between lines where no bar can be drawn."""


class RichProgress(TrainingProgress):
    """Shows stage, step, losses, validation score and time left.

    Args:
        title: What is being trained, e.g. the recipe.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            disable=rank() > 0 or not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None
        self._stage = ""
        self._total = 0
        self._figures: dict[str, float] = {}
        self._last_line = 0.0

    def __enter__(self) -> RichProgress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def stage(self, name: str, done: int, total: int) -> None:
        """A stage begins, or goes on after a pause."""
        self._stage, self._total = name, total
        self._figures = {key: value for key, value in self._figures.items() if key == "score"}
        self._task = self.bar.add_task(f"[bold]{self.title}[/] {name}", completed=done, total=total, figures="")
        self._last_line = 0.0
        self._print_line(done)

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Steps were done; figures are the latest losses or scores."""
        self._figures.update(figures)
        if self._task is not None:
            self.bar.update(self._task, completed=done, figures=self._shown(self.console.width - BAR_WIDTH))
        self._print_line(done)

    def _print_line(self, done: int) -> None:
        """Where there is no terminal (a log file, CI), one line now and then."""
        now = time.monotonic()
        due = now - self._last_line >= LINE_EVERY_S or done == self._total
        if not self.bar.disable or rank() > 0 or not due:
            return
        self._last_line = now
        print(f"{self.title} {self._stage} {done}/{self._total}  {self._shown()}", file=sys.stderr, flush=True)

    def _shown(self, width: int = 1000) -> str:
        """The figures that fit, the validation score and the tasks' loss before all others."""
        order = sorted(
            self._figures, key=lambda name: ("score", "task").index(name) if name in ("score", "task") else 2
        )
        text = ""
        for name in order:
            longer = f"{text}{name} {self._figures[name]:.3f}  "
            if len(longer) > width:
                break
            text = longer
        return text.rstrip()
