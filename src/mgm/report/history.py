"""Losses, validation scores and gradients of a training, read from its metrics log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mgm.runs.folder import RunFolder
from mgm.tasks import TASKS, Task, find_task, task_kinds
from mgm.training.metrics_log import read_metrics_log

STAGE_TITLES = {
    "pretrain": "Pre-training of the network",
    "multi_task": "Stage 1: network alone",
    "generator": "Stage 2: generator alone",
    "joint": "Stage 3: joint training",
    "continued": "Stage 3: network alone, continued",
}
"""Stage -> title, in the order of training."""
Points = tuple[list[int], list[float]]
"""Steps, and the values at these steps."""


@dataclass
class History:
    """A metrics log as curves to plot."""

    losses: dict[str, dict[str, Points]] = field(default_factory=dict[str, dict[str, Points]])
    """Stage -> loss -> points. Joint training continues the step count of `multi_task`."""
    scores: dict[str, Points] = field(default_factory=dict[str, Points])
    """Task -> points of its primary metric on the validation set, against steps on labelled images."""
    gradients: dict[str, dict[str, Points]] = field(default_factory=dict[str, dict[str, Points]])
    """``norm``, ``cosine`` and ``ratio`` -> update (or ``auxiliary``) -> points: gradients of the losses on the encoder, against
    steps (`mgm.training.gradients.GradientShares`)."""
    joint_start: int | None = None
    """Step at which joint training starts; None without it."""
    kinds: Mapping[str, type[Task]] = field(default_factory=lambda: TASKS)
    """All tasks that may have scores."""


def read_history(path: Path) -> History:
    """Read the metrics log of a run as curves; values that were not finite are NaN, and a missing log gives no curves.

    Raises:
        RunError: If the log is damaged.
    """
    folder = RunFolder(path.parent)
    history = History(kinds=task_kinds(folder.info().own_tasks if folder.dataset.exists() else {}))
    alone = 0
    for record in read_metrics_log(path):
        stage, step = record["stage"], int(record["step"])
        if stage == "multi_task":
            alone = max(alone, step)
        if stage in ("joint", "continued"):
            step += alone
        if stage == "joint":
            history.joint_start = alone
        for name, value in record.get("losses", {}).items():
            _append(history.losses.setdefault(stage, {}), name, step, value)
        for name, metrics in record.get("validation", {}).items():
            _append(history.scores, name, step, metrics.get(find_task(name, history.kinds).primary))
        for name, figures in record.get("gradients", {}).items():
            for figure, value in figures.items():
                _append(history.gradients.setdefault(figure, {}), name, step, value)
    return history


def _append(lines: dict[str, Points], name: str, step: int, value: float | None) -> None:
    steps, values = lines.setdefault(name, ([], []))
    steps.append(step)
    values.append(float("nan") if value is None else value)


def stages_of(histories: Iterable[History]) -> list[str]:
    """Stages with losses in any log, in the order of training."""
    return in_order(STAGE_TITLES, [history.losses for history in histories])


def tasks_of(histories: Iterable[History]) -> list[str]:
    """Tasks with scores in any log, in the order of tables."""
    return in_order(TASKS, [history.scores for history in histories])


def kind_of(name: str, histories: Iterable[History]) -> type[Task]:
    """Class of a task, according to the first log with scores of it."""
    return find_task(name, next((history.kinds for history in histories if name in history.scores), TASKS))


def in_order(known: Iterable[str], present: Iterable[Collection[str]]) -> list[str]:
    """All names in ``present``: those in ``known`` first and in that order, then the others."""
    names = list(dict.fromkeys(name for group in present for name in group))
    return [name for name in known if name in names] + [name for name in names if name not in known]
