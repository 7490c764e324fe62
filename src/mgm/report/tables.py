"""Scores of several models side by side, as tables for the terminal and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from mgm.errors import choose
from mgm.runs.pretraining import footnotes, marked
from mgm.tasks.base import MetricInfo, Task
from mgm.training.evaluate import Scores, mean_gain, task_gain

UNKNOWN = "–"


@dataclass(frozen=True)
class Column:
    """A metric of a task over all models."""

    task: str
    title: str
    metric: str
    """Title with direction and unit."""
    cells: tuple[str, ...]
    best: tuple[bool, ...]
    primary: bool
    """Whether it is the primary metric of its task."""
    gain: str
    """Of the last model over the baseline; empty but for the primary metric."""


def comparison_table(
    results: dict[str, Scores],
    tasks: dict[str, Task],
    *,
    baseline: str = "",
    primary_only: bool = False,
    pretrained: Mapping[str, str] | None = None,
) -> Table:
    """A row per metric and a column per model, the best value in bold, and the last model's gain over the baseline.

    Args:
        results: Title of a model -> its scores; a value that is NaN, None or absent is shown as unknown.
        tasks: Whose metrics to show.
        baseline: Title of the model that the last one is compared with; empty: the model before it.
        primary_only: Leave out all metrics but the primary ones.
        pretrained: Title -> what its encoder was pre-trained on (see `mgm.runs.pretraining`), for those where it was.

    Raises:
        ConfigError: If ``baseline`` is none of the models.
    """
    pretrained = pretrained or {}
    caption = ["↑ higher is better, ↓ lower is better", *footnotes(pretrained.values())]
    table = Table(caption=escape("\n".join(caption)), caption_justify="left")
    table.add_column("task")
    table.add_column("metric")
    for title in results:
        table.add_column(escape(marked(title, pretrained.get(title, ""))), justify="right")
    compared = len(results) > 1
    if compared:
        table.add_column(escape(gain_title(results, tasks, baseline).replace(" (", "\n(")), justify="right")
    columns = metric_columns(results, tasks, baseline, primary_only)
    for column, following in zip(columns, [*columns[1:], None], strict=True):
        first = column is next(c for c in columns if c.task == column.task)
        cells = [
            f"[bold green]{cell}[/]" if best else cell for cell, best in zip(column.cells, column.best, strict=True)
        ]
        table.add_row(
            escape(column.title) if first else "",
            escape(column.metric),
            *cells,
            *([column.gain] if compared else []),
            end_section=following is None or following.task != column.task,
        )
    return table


def comparison_markdown(
    results: dict[str, Scores],
    tasks: dict[str, Task],
    *,
    baseline: str = "",
    primary_only: bool = False,
    pretrained: Mapping[str, str] | None = None,
) -> str:
    """`comparison_table` as a Markdown table with its footnotes, ending with a line break."""
    pretrained = pretrained or {}
    columns = metric_columns(results, tasks, baseline, primary_only)
    lines = [["model", *(f"{column.title}: {column.metric}" for column in columns)]]
    lines.append([":--", *("--:" for _ in columns)])
    for row, title in enumerate(results):
        name = marked(title, pretrained.get(title, ""))
        lines.append([name, *(f"**{c.cells[row]}**" if c.best[row] else c.cells[row] for c in columns)])
    if len(results) > 1:
        lines.append([gain_title(results, tasks, baseline), *(column.gain for column in columns)])
    text = "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)
    return text + "".join(f"\n{note}\n" for note in footnotes(pretrained.values()))


def class_table(title: str, classes: Mapping[str, Mapping[str, float]]) -> Table:
    """A row per class: its IoU and its share of the labelled pixels.

    Args:
        title: Of the task.
        classes: Class -> ``iou`` and ``pixels`` (see `mgm.tasks.base.ClassScore`), in the order of rows.
    """
    caption = "pixels: share of the labelled ones; classes that neither occur nor are predicted are left out"
    table = Table(caption=caption, caption_justify="left")
    table.add_column(escape(title))
    table.add_column("IoU ↑", justify="right")
    table.add_column("pixels", justify="right")
    for name, score in classes.items():
        table.add_row(escape(name), f"{score['iou']:.3f}", share(score["pixels"]))
    return table


def metric_columns(
    results: dict[str, Scores], tasks: dict[str, Task], baseline: str = "", primary_only: bool = False
) -> list[Column]:
    """The metrics of all tasks, formatted; arguments as for `comparison_table`."""
    columns = []
    for name, task in tasks.items():
        scores = [known_scores(result.get(name, {})) for result in results.values()]
        for metric, info in task.metrics_info.items():
            if primary_only and metric != task.primary:
                continue
            values = [score.get(metric, math.nan) for score in scores]
            gain = ""
            if metric == task.primary and len(results) > 1:
                reference = known_scores(_baseline(results, baseline)[1].get(name, {}))
                gain = percent(task_gain(scores[-1], reference, task))
            columns.append(
                Column(
                    name,
                    task.title,
                    info.heading,
                    tuple(metric_number(value, info) for value in values),
                    _best(values, info),
                    metric == task.primary,
                    gain,
                )
            )
    return columns


def known_scores(scores: dict[str, float]) -> dict[str, float]:
    """The scores without those that are None, which is how JSON files write NaN."""
    return {metric: value for metric, value in scores.items() if value is not None}


def _baseline(results: dict[str, Scores], baseline: str) -> tuple[str, Scores]:
    title = baseline or list(results)[-2]
    return title, choose("baseline", title, results)


def gain_title(results: dict[str, Scores], tasks: dict[str, Task], baseline: str = "") -> str:
    """The heading of the gains: what the last model is compared with, and the mean gain over tasks."""
    title, reference = _baseline(results, baseline)
    last = list(results)[-1]
    known = {name: known_scores(results[last].get(name, {})) for name in tasks}
    mean = mean_gain(known, {name: known_scores(reference.get(name, {})) for name in tasks}, tasks)
    return f"gain over {title} (mean {percent(mean)})"


def metric_number(value: float, info: MetricInfo) -> str:
    """A value of a metric as tables show it."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:.2f}" if info.unit == "°" else f"{value:.3f}"


def share(fraction: float) -> str:
    """A fraction in per cent."""
    return f"{100 * fraction:.1f} %"


def percent(gain: float) -> str:
    """A fraction in per cent, with its sign."""
    return f"{gain:+.1%}".replace("%", " %") if math.isfinite(gain) else UNKNOWN


def _best(values: list[float], info: MetricInfo) -> tuple[bool, ...]:
    """Which values are the best; none where there is no other to compare with."""
    known = [value for value in values if math.isfinite(value)]
    best = (max if info.higher_is_better else min)(known) if len(known) > 1 else None
    return tuple(value == best for value in values)
