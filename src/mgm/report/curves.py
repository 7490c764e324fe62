"""Losses and validation scores over a training, from journals alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgm.report.canvas import FAINT_INK
from mgm.tasks import TASKS
from mgm.training.checkpoint import write_atomically
from mgm.training.metrics_log import read_journal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
PANEL_WIDTH, PANEL_HEIGHT = 4.6, 3.2
"""Of a panel, in inches."""
LOG_RATIO = 20.0
"""Losses whose largest value is this many times the smallest are drawn on a logarithmic scale."""
LEGEND_LINES = 4
"""A legend with more lines stands below its panel."""
STYLES = ("-", "--", ":", "-.")
STAGE_TITLES = {
    "pretrain": "Pretraining of M",
    "multi_task": "Stage 1: M alone",
    "generator": "Stage 2: generator, M frozen",
    "joint": "Stage 3: joint training",
}
"""Stage -> title, in the order of a training."""
PLOT_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "mgm",
}

Points = tuple[list[int], list[float]]
"""Steps, and the value at each."""


@dataclass
class History:
    """A journal, sorted by what is drawn in one line."""

    losses: dict[str, dict[str, Points]] = field(default_factory=dict)
    """Stage -> update -> points. In `joint` the steps go on counting from those of `multi_task`."""
    scores: dict[str, Points] = field(default_factory=dict)
    """Task -> points of its primary metric on the validation set, over all updates of M on labelled images."""
    joint_start: int | None = None
    """Updates of M before joint training; None without it."""


def read_history(path: Path) -> History:
    """Sort the records of a journal; a value that was not finite is NaN, and an absent journal is empty."""
    history = History()
    alone = 0
    for record in read_journal(path):
        stage, step = record["stage"], int(record["step"])
        if stage == "multi_task":
            alone = max(alone, step)
        if stage == "joint":
            history.joint_start = alone
            step += alone
        for name, value in record.get("losses", {}).items():
            _append(history.losses.setdefault(stage, {}), name, step, value)
        for name, metrics in record.get("validation", {}).items():
            _append(history.scores, name, step, metrics.get(TASKS[name].primary))
    return history


def _append(lines: dict[str, Points], name: str, step: int, value: float | None) -> None:
    steps, values = lines.setdefault(name, ([], []))
    steps.append(step)
    values.append(float("nan") if value is None else value)


def curves(path: Path, journals: dict[str, Path]) -> None:
    """Draw a panel of losses per stage, then a panel per task with its primary metric on the validation set.

    Args:
        path: The picture; its suffix says which format (png, svg, pdf).
        journals: Title of a run -> its ``metrics.jsonl``.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    histories = {literal(title): read_history(journal) for title, journal in journals.items()}
    stages, tasks = stages_of(histories.values()), tasks_of(histories.values())
    num_panels = len(stages) + len(tasks)
    columns = max(1, min(COLUMNS, max(len(stages), len(tasks))))
    rows = max(1, -(-len(stages) // columns) + -(-len(tasks) // columns))
    with style.context(["default", PLOT_STYLE]):
        figure = Figure(figsize=(columns * PANEL_WIDTH, rows * PANEL_HEIGHT), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        if not num_panels:
            figure.text(0.5, 0.5, "nothing logged yet", ha="center", va="center", color=FAINT_INK)
        row = 0
        for names, draw in ((stages, draw_losses), (tasks, draw_scores)):
            for number, name in enumerate(names):
                place = (row + number // columns) * columns + number % columns
                draw(figure.add_subplot(rows, columns, place + 1), name, histories)
            row += -(-len(names) // columns)
        picture_format = path.suffix.removeprefix(".") or "png"
        write_atomically(path, lambda file: figure.savefig(file, format=picture_format))


def literal(title: str) -> str:
    """A title as matplotlib has to be given it, so that a dollar sign is one."""
    return title.replace("$", r"\$")


def stages_of(histories: Iterable[History]) -> list[str]:
    """Stages of which any of the journals has losses, in the order of a training."""
    return in_order(STAGE_TITLES, [history.losses for history in histories])


def tasks_of(histories: Iterable[History]) -> list[str]:
    """Tasks of which any of the journals has scores, in the order of tables."""
    return in_order(TASKS, [history.scores for history in histories])


def in_order(known: Iterable[str], present: Iterable[Collection[str]]) -> list[str]:
    """The names that are present anywhere, in a known order; others after them as they come."""
    names = list(dict.fromkeys(name for group in present for name in group))
    return [name for name in known if name in names] + [name for name in names if name not in known]


def draw_losses(axes: Axes, stage: str, histories: dict[str, History]) -> None:
    """Every loss of a stage in a colour, every run in a line style."""
    from matplotlib.ticker import LogLocator, NullFormatter

    runs = {title: history.losses[stage] for title, history in histories.items() if stage in history.losses}
    updates = in_order((), runs.values())
    for (title, losses), line_style in zip(runs.items(), STYLES * len(runs), strict=False):
        for name, (steps, values) in losses.items():
            label = name.replace("_", " ") + (f" ({title})" if len(runs) > 1 else "")
            colour = f"C{updates.index(name)}"
            axes.plot(steps, values, line_style, color=colour, label=label, marker="." if len(steps) == 1 else "")
    values = [value for losses in runs.values() for _, points in losses.values() for value in points if value == value]
    if values and min(values) > 0 and max(values) > LOG_RATIO * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(STAGE_TITLES.get(stage, stage))
    axes.set_xlabel("updates of M" if stage in ("multi_task", "joint") else "steps")
    axes.set_ylabel("loss")
    if len(axes.lines) > LEGEND_LINES:
        axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    else:
        axes.legend()


def draw_scores(axes: Axes, name: str, histories: dict[str, History]) -> None:
    """A line per run, its best value marked, and where its joint training begins."""
    task = TASKS[name]
    info = task.metrics_info[task.primary]
    best = max if info.higher_is_better else min
    for number, (title, history) in enumerate(histories.items()):
        steps, values = history.scores.get(name, ([], []))
        known = [(value, step) for value, step in zip(values, steps, strict=True) if value == value]
        axes.plot(steps, values, color=f"C{number}", marker=".", markersize=4, label=title)
        if known:
            value, step = best(known, key=lambda point: point[0])
            axes.plot(step, value, "o", color=f"C{number}", markersize=7, fillstyle="none")
    label_scores(axes, name, histories.values())
    axes.legend()


def draw_bands(axes: Axes, name: str, groups: dict[str, list[History]]) -> None:
    """A line per group at the mean over its runs, in a band of one standard deviation; runs need not all be finished."""
    for number, (title, histories) in enumerate(groups.items()):
        runs = [dict(zip(*history.scores[name], strict=True)) for history in histories if name in history.scores]
        if not runs:
            continue
        steps = sorted(set(runs[0]).intersection(*runs))
        values = np.array([[run[step] for step in steps] for run in runs], dtype=float)
        mean = values.mean(0)
        axes.plot(steps, mean, color=f"C{number}", marker="." if len(steps) < 2 else "", label=title)
        if len(runs) > 1:
            spread = values.std(0, ddof=1)
            axes.fill_between(steps, mean - spread, mean + spread, color=f"C{number}", alpha=0.14, linewidth=0)
    label_scores(axes, name, [history for histories in groups.values() for history in histories])


def label_scores(axes: Axes, name: str, histories: Iterable[History]) -> None:
    """Title and axes of a panel of scores, and where joint training begins."""
    task = TASKS[name]
    info = task.metrics_info[task.primary]
    for start in sorted({history.joint_start for history in histories if history.joint_start is not None}):
        axes.axvline(start, color=FAINT_INK, linestyle=":", linewidth=1.2)
        place = axes.get_xaxis_transform()
        axes.text(start, 1.0, " joint training →", transform=place, va="top", fontsize=8, color=FAINT_INK)
    unit = f" [{info.unit}]" if info.unit else ""
    axes.set_title(task.title)
    axes.set_xlabel("updates of M")
    axes.set_ylabel(f"{info.title}{unit}, {'higher' if info.higher_is_better else 'lower'} is better")
