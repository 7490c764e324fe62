"""Tables of the scores of several models, for the terminal and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from rich.markup import escape
from rich.table import Table

from mgm.errors import choose
from mgm.runs.pretraining import footnotes, marked
from mgm.tasks.base import MetricInfo, Task
from mgm.tasks.metrics import UNKNOWN, percent
from mgm.training.evaluate import Scores, mean_gain, task_gain

CONSTANT = "constant"
"""Title of the constant predictor."""


@dataclass(frozen=True)
class Column:
    """A metric of a task over all models."""

    title: str
    """Title of the task."""
    metric: str
    """Title of the metric with direction and unit."""
    cells: tuple[str, ...]
    best: tuple[bool, ...]
    primary: bool
    """Whether it is the primary metric of its task."""
    gain: str
    """Gain of the last model over the baseline; empty unless the metric is primary."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of several models as text, with the gains of the last model over a baseline."""

    models: list[str]
    """Titles, marked if the encoder was pre-trained (see `mgm.runs.pretraining`)."""
    columns: list[Column]
    gain: str
    """Heading of the gains: name of the baseline and mean gain over tasks; empty if there is no baseline."""
    footnotes: list[str]

    @property
    def groups(self) -> list[tuple[str, list[Column]]]:
        """Title of a task -> its metrics."""
        return [(title, list(columns)) for title, columns in groupby(self.columns, lambda column: column.title)]

    def terminal(self) -> Table:
        """One row per metric below its task's title and one column per model, with the best value in bold."""
        caption = ["↑ higher is better, ↓ lower is better", *self.footnotes]
        table = Table(caption=escape("\n".join(caption)), caption_justify="left")
        table.add_column("metric")
        for heading in (*self.models, *([self.gain.replace(" (", "\n(")] if self.gain else [])):
            table.add_column(escape(heading), justify="right")
        for title, columns in self.groups:
            table.add_row(f"[bold]{escape(title)}[/]")
            for column in columns:
                pairs = zip(column.cells, column.best, strict=True)
                cells = [f"[bold green]{cell}[/]" if best else cell for cell, best in pairs]
                gain = [column.gain] if self.gain else []
                table.add_row(f"  {escape(column.metric)}", *cells, *gain, end_section=column is columns[-1])
        return table

    def markdown(self) -> str:
        """One row per model and one column per metric, followed by the footnotes; ends with a line break."""
        lines = [["model", *(f"{column.title}: {column.metric}" for column in self.columns)]]
        lines.append([":--", *("--:" for _ in self.columns)])
        for row, title in enumerate(self.models):
            lines.append([title, *(f"**{c.cells[row]}**" if c.best[row] else c.cells[row] for c in self.columns)])
        if self.gain:
            lines.append([self.gain, *(column.gain for column in self.columns)])
        text = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)
        return text + "".join(f"\n{note}\n" for note in self.footnotes)


def score_table(
    results: Mapping[str, Scores],
    tasks: dict[str, Task],
    *,
    baseline: str | None = "",
    pretrained: Mapping[str, str] | None = None,
) -> ScoreTable:
    """Build the table of several models.

    Args:
        results: Title of a model -> its scores; values that are NaN, None or absent are shown as unknown.
        tasks: Tasks whose metrics are shown.
        baseline: Title of the model that the last one is compared with; empty: the model before it, unless that is `CONSTANT`
            (a gain relative to a score near 0 is meaningless); None: no gains.
        pretrained: Title -> data that its encoder was pre-trained on, for models with a pre-trained encoder.

    Raises:
        ConfigError: If ``baseline`` is not one of the models.
    """
    pretrained = pretrained or {}
    known = {title: {name: known_scores(found.get(name, {})) for name in tasks} for title, found in results.items()}
    *others, last = known
    if baseline == "" and others and others[-1] != CONSTANT:
        baseline = others[-1]
    reference, gain = known[last], ""
    if baseline:
        reference = choose("baseline", baseline, known)
        gain = f"gain over {baseline} (mean {percent(mean_gain(known[last], reference, tasks))})"
    columns: list[Column] = []
    for name, task in tasks.items():
        for metric, info in task.metrics_info.items():
            primary = metric == task.primary
            values = [scores[name].get(metric, math.nan) for scores in known.values()]
            cells = tuple(info.number(value) for value in values)
            gained = percent(task_gain(known[last][name], reference[name], task)) if gain and primary else ""
            columns.append(Column(task.title, info.heading, cells, are_best(values, info), primary, gained))
    models = [marked(title, pretrained.get(title, "")) for title in known]
    return ScoreTable(models, columns, gain, footnotes(pretrained.values()))


def known_scores(scores: Mapping[str, float | None]) -> dict[str, float]:
    """The scores without those that are None, which stands for NaN in JSON files."""
    return {metric: value for metric, value in scores.items() if value is not None}


def class_table(title: str, classes: Mapping[str, Mapping[str, float]]) -> Table:
    """One row per class of a task: numbers of its `mgm.tasks.base.ClassScore`, whose plain values are in ``classes``."""
    caption = "pixels: share of the labelled pixels; classes that neither occur nor are predicted are left out"
    table = Table(caption=caption, caption_justify="left")
    table.add_column(escape(title))
    for heading in ("IoU ↑", "precision ↑", "recall ↑", "pixels"):
        table.add_column(heading, justify="right")
    for name, score in classes.items():
        numbers = (score[key] for key in ("iou", "precision", "recall"))
        cells = (f"{number:.3f}" if math.isfinite(number) else UNKNOWN for number in numbers)
        table.add_row(escape(name), *cells, share(score["pixels"]))
    return table


def share(fraction: float) -> str:
    """Format a fraction in per cent."""
    return f"{100 * fraction:.1f} %"


def are_best(values: list[float], info: MetricInfo) -> tuple[bool, ...]:
    """Whether each value is the best; False for all if there is only one that is known."""
    known = [value for value in values if math.isfinite(value)]
    best = (max if info.higher_is_better else min)(known) if len(known) > 1 else None
    return tuple(value == best for value in values)
