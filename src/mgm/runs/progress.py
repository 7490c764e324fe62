"""Progress bar with key figures on standard error; plain lines if that is not a terminal."""

from __future__ import annotations

import math
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from torch import nn

from mgm.functional.distributed import rank
from mgm.runs.provenance import peak_memory_mb
from mgm.tasks.base import MetricInfo, Task
from mgm.training.evaluate import Scores
from mgm.training.trainer import Progress as TrainingProgress
from mgm.training.updates import Stage

BAR_WIDTH = 96
"""Width in characters of everything but the losses: description, bar, count, times, speed, memory."""
NO_BREAK = "\N{NO-BREAK SPACE}"
LINE_EVERY_S = 30.0
"""Minimum seconds between lines without a progress bar."""


class RichProgress(TrainingProgress):
    """Shows stage, step, time left, images per second, memory and losses; every validation prints a line.

    The memory is the peak of tensors on a GPU, otherwise of the process; ``title`` is what is trained, e.g. the recipe.
    """

    def __init__(self, title: str, tasks: Mapping[str, Task], stages: Sequence[Stage], device: torch.device) -> None:
        self.title = title
        self.tasks = tasks
        self.device = device
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            disable=rank() > 0 or not sys.stderr.isatty(),
        )
        self._images = {stage.name: stage.batch_size for stage in stages}
        self._task: TaskID | None = None
        self._stage = ""
        self._total = self._begun = 0
        self._clock = 0.0
        self._figures: dict[str, float] = {}
        self._last_line = -math.inf
        self._last_done = -1
        self._best = -math.inf

    def __enter__(self) -> RichProgress:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def stage(self, name: str, done: int, total: int, best: float) -> None:
        """A stage starts or resumes."""
        self._stage, self._total, self._begun, self._best = name, total, done, best
        self._clock = time.monotonic()
        self._figures = {key: value for key, value in self._figures.items() if key == "score"}
        text = f"[bold]{escape(self.title)}[/] {name}"
        self._task = self.bar.add_task(text, completed=done, total=total, figures="", speed="")
        self._last_line, self._last_done = -math.inf, -1
        self._print_line(done)

    def step(self, done: int, figures: dict[str, float]) -> None:
        """Update the bar with the latest losses or scores."""
        self._figures |= {name: value for name, value in figures.items() if not math.isnan(value)}
        if self._task is not None:
            shown = self._shown(self.console.width - BAR_WIDTH)
            self.bar.update(self._task, completed=done, figures=shown, speed=self._speed(done))
        self._print_line(done)

    def validated(self, done: int, scores: Scores, score: float, model: nn.Module) -> None:
        """Print each task's primary metric with its unit, and the overall ratio to the constant prediction, if they are known."""
        if math.isnan(score):
            return
        best = " (best of this stage so far)" if score > self._best else ""
        self._best = max(score, self._best)
        figures = [
            f"{name} {with_unit(scores[name].get(task.primary, math.nan), task.metrics_info[task.primary])}"
            for name, task in self.tasks.items()
            if name in scores
        ]
        overall = f"overall {math.exp(score):.2f}x constant{best}"
        self._print(f"{self._place(done)} ", "validation:", *(f"{text}," for text in figures), overall)

    def stopped(self, done: int, waited: int) -> None:
        """Print that the stage ends early."""
        self._print(f"{self._place(done)}  ends early: {waited} validations without a better score in this stage")

    def _place(self, done: int) -> str:
        return f"{self.title} {self._stage} {done}/{self._total}"

    def _print_line(self, done: int) -> None:
        """Print a line every `LINE_EVERY_S` if there is no terminal (log file, CI)."""
        now = time.monotonic()
        due = now - self._last_line >= LINE_EVERY_S or done == self._total
        if not self.bar.disable or not due or self._last_done == done:
            return
        self._last_line, self._last_done = now, done
        parts = (self._place(done), self._speed(done), self._shown())
        self._print("  ".join(part for part in parts if part))

    def _print(self, *parts: str) -> None:
        """Print a line; on a terminal, it is wrapped only between parts, with an indent."""
        if rank() == 0:
            if self.bar.disable:
                print(" ".join(parts), file=sys.stderr, flush=True)
            else:
                kept = " ".join(part.replace(" ", NO_BREAK) for part in parts)
                text = textwrap.fill(kept, self.console.width, subsequent_indent="    ", break_long_words=False)
                self.console.print(escape(text.replace(NO_BREAK, " ")), highlight=False, soft_wrap=True)

    def _speed(self, done: int) -> str:
        """Time left in the stage, images per second since it began, memory."""
        steps, seconds = done - self._begun, time.monotonic() - self._clock
        if not steps or not seconds:
            return ""
        left = round((self._total - done) * seconds / steps)
        memory = peak_memory_mb(self.device)
        used = f"  {memory / 1000:.1f} GB" if memory else ""
        images = steps * self._images.get(self._stage, 0) / seconds
        return f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left  {images:.{0 if images >= 10 else 1}f} img/s{used}"

    def _shown(self, width: int = 1000) -> str:
        """The latest figures, as many as fit into ``width`` characters; validation score and task loss come first."""
        text = ""
        for name in sorted(self._figures, key=lambda name: {"score": 0, "task": 1}.get(name, 2)):
            value = self._figures[name]
            shown = f"overall {math.exp(value):.2f}x constant" if name == "score" else f"{name} {value:.3f}"
            longer = f"{text}{shown.replace('_', ' ')}  "
            if len(longer) > width:
                break
            text = longer
        return text.rstrip()


def with_unit(value: float, info: MetricInfo) -> str:
    """Format a metric with its unit: ``mIoU 0.123``, ``absolute error 0.610 m``."""
    return f"{info.title} {info.text(value)}"
