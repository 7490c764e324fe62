"""Training curves (losses, validation scores, gradients) and confusion matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgm.report.figures.style import FAINT_INK, figure_style, new_figure, save_figure
from mgm.report.history import STAGE_TITLES, History, in_order, kind_of, read_history, stages_of, tasks_of
from mgm.tasks.base import Confusion, Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT = 4.6, 3.2
"""Size of a panel, in inches."""
LOG_RATIO = 20.0
"""Ratio of the largest to the smallest loss above which the scale is logarithmic."""
LEGEND_LINES = 4
"""Legends with more lines are placed below the panel."""
MOST_CLASSES = 16
"""Largest number of classes in a confusion matrix that is still readable."""
LINE_STYLES = ("-", "--", ":", "-.")


def curve_figure(path: Path, logs: Mapping[str, Path]) -> None:
    """Draw one panel of losses per stage, then one panel per task with its primary metric on the validation set.

    Args:
        path: The file; its suffix determines the format (png, svg, pdf).
        logs: Title of a run -> its ``metrics.jsonl``.

    Raises:
        RunError: If a metrics log is damaged, or the file cannot be written.
    """
    histories = {title: read_history(log) for title, log in logs.items()}
    stages, tasks = stages_of(histories.values()), tasks_of(histories.values())
    columns = max(1, min(COLUMNS, max(len(stages), len(tasks))))
    panels = [(draw_losses, name, place) for place, name in enumerate(stages)]
    first = -(-len(stages) // columns) * columns  # scores begin in a new row
    panels += [(draw_scores, name, place) for place, name in enumerate(tasks, first)]
    rows = max((place // columns + 1 for _, _, place in panels), default=1)
    with figure_style():
        figure = new_figure(columns * PANEL_WIDTH, rows * PANEL_HEIGHT)
        if not panels:
            figure.text(0.5, 0.5, "nothing logged yet", ha="center", va="center", color=FAINT_INK)
        for draw, name, place in panels:
            draw(figure.add_subplot(rows, columns, place + 1), name, histories)
        save_figure(figure, path)


def draw_losses(axes: Axes, stage: str, histories: Mapping[str, History]) -> None:
    """Draw the losses of a stage: one colour per loss, one line style per run."""
    runs = {title: history.losses[stage] for title, history in histories.items() if stage in history.losses}
    names = in_order((), runs.values())
    for (title, losses), line_style in zip(runs.items(), LINE_STYLES * len(runs), strict=False):
        for name, (steps, values) in losses.items():
            label = name.replace("_", " ") + (f" ({title})" if len(runs) > 1 else "")
            colour = f"C{names.index(name)}"
            axes.plot(steps, values, line_style, color=colour, label=label, marker="." if len(steps) == 1 else "")
    values = [value for losses in runs.values() for _, points in losses.values() for value in points if value == value]
    if values and min(values) > 0 and max(values) > LOG_RATIO * min(values):
        _logarithmic(axes)
    _annotate(axes, STAGE_TITLES.get(stage, stage), "loss")


def draw_scores(axes: Axes, name: str, histories: Mapping[str, History]) -> None:
    """Draw a task's validation scores: one line per run, a ring at its best value, and the start of joint training."""
    task = kind_of(name, histories.values())
    best = max if task.metrics_info[task.primary].higher_is_better else min
    for number, (title, history) in enumerate(histories.items()):
        steps, values = history.scores.get(name, ([], []))
        known = [(value, step) for value, step in zip(values, steps, strict=True) if value == value]
        axes.plot(steps, values, color=f"C{number}", marker=".", markersize=4, label=title)
        if known:
            value, step = best(known, key=lambda point: point[0])
            label = "" if number else "best value"
            axes.plot(step, value, "o", color=f"C{number}", markersize=7, fillstyle="none", label=label)
    _label_scores(axes, task, histories.values())


def draw_gradients(axes: Axes, figure: str, history: History) -> None:
    """Draw the gradients of the losses on the encoder.

    Args:
        axes: Where to draw.
        figure: ``norm`` (logarithmic), or ``cosine`` (similarity to the gradient of the task loss).
        history: The run.
    """
    ratios = history.gradients.get("ratio", {}).get("auxiliary", ([], []))[1]
    for number, (name, (steps, values)) in enumerate(history.gradients[figure].items()):
        label = "all auxiliary losses" if name == "auxiliary" else name.replace("_", " ")
        style = "--" if name == "auxiliary" else "-"
        axes.plot(steps, values, style, color=f"C{number}", label=label, marker="." if len(steps) < 2 else "")
    if figure == "norm":
        _logarithmic(axes)
        ratio = f": auxiliary / task {np.median(ratios):.2f}" if ratios else ""
        _annotate(axes, f"Gradient norm on the encoder{ratio}", "gradient norm")
    else:
        axes.axhline(0, color=FAINT_INK, linewidth=0.8)
        _annotate(axes, "Gradient direction on the encoder", "cosine to the task gradient")


def draw_bands(axes: Axes, name: str, groups: Mapping[str, list[History]]) -> None:
    """Draw validation scores: per group the mean over its runs, with a band of one standard deviation, where all have values."""
    for number, (title, histories) in enumerate(groups.items()):
        runs = [dict(zip(*history.scores[name], strict=True)) for history in histories if name in history.scores]
        steps = sorted(set(runs[0]).intersection(*runs)) if runs else []
        values = np.array([[run[step] for step in steps] for run in runs], dtype=float)
        if not np.isfinite(values).any():  # such as a run that is trained on all images
            continue
        mean = values.mean(0)
        axes.plot(steps, mean, color=f"C{number}", marker="." if len(steps) < 2 else "", label=title)
        if len(runs) > 1:
            spread = values.std(0, ddof=1)
            axes.fill_between(steps, mean - spread, mean + spread, color=f"C{number}", alpha=0.14, linewidth=0)
    every = [history for histories in groups.values() for history in histories]
    _label_scores(axes, kind_of(name, every), every)


def draw_confusion(axes: Axes, title: str, confusion: Confusion) -> None:
    """Draw a confusion matrix of the most frequent classes: the share of each class's pixels (row) predicted as each class.

    Shares of at least 0.5 % are also written into the cells, in per cent.
    """
    pixels = np.array(confusion.pixels, float)
    shares = pixels / np.maximum(1, pixels.sum(1, keepdims=True))
    names = [name.replace("_", " ") for name in confusion.classes[:MOST_CLASSES]]
    axes.imshow(shares[: len(names), : len(names)], cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for row, column in np.argwhere(shares[: len(names), : len(names)] >= 0.005):
        share = shares[row, column]
        colour = "white" if share > 0.6 else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.grid(visible=False)
    rest = len(confusion.classes) - len(names)
    axes.set_title(title)
    axes.set_xlabel("predicted" + (f"; and {rest} rarer classes" if rest else ""))
    axes.set_ylabel("labelled")


def _label_scores(axes: Axes, task: type[Task], histories: Iterable[History]) -> None:
    """Add title, axis labels and legend to a panel of scores, and mark the start of joint training."""
    info = task.metrics_info[task.primary]
    starts = sorted({history.joint_start for history in histories if history.joint_start is not None})
    for number, start in enumerate(starts):
        label = "" if number else "start of joint training"
        axes.axvline(start, color=FAINT_INK, linestyle=":", linewidth=1.2, label=label)
    unit = f" [{info.unit}]" if info.unit else ""
    _annotate(axes, task.title, f"{info.title}{unit}, {'higher' if info.higher_is_better else 'lower'} is better")


def _logarithmic(axes: Axes) -> None:
    """Set a logarithmic scale with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _annotate(axes: Axes, title: str, quantity: str) -> None:
    """Add title, axis labels with whole steps as ticks, and a legend inside the panel, or below it if it has many lines."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title)
    axes.set_xlabel("steps")
    axes.set_ylabel(quantity)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    handles, labels = axes.get_legend_handles_labels()
    place = axes.get_subplotspec()
    alone = place is None or place.get_geometry()[:2] == (1, 1)
    if len(handles) > LEGEND_LINES and alone:
        axes.figure.legend(handles, labels, ncols=2, loc="outside lower center")
    elif len(handles) > LEGEND_LINES:
        axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    elif handles:
        axes.legend()
