"""Losses and validation scores over a training, read from its metrics log."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mgm.runs.folder import RunFolder
from mgm.tasks import TASKS, find_task, task_kinds
from mgm.tasks.base import Task
from mgm.training.metrics_log import read_metrics_log

STAGE_TITLES = {
    "pretrain": "Pre-training of the network",
    "multi_task": "Stage 1: network alone",
    "generator": "Stage 2: generator alone",
    "joint": "Stage 3: joint training",
    "continued": "Stage 3: network goes on alone",
}
"""Stage -> title, in the order of a training."""
Points = tuple[list[int], list[float]]
"""Steps, and the value at each."""


@dataclass
class History:
    """A metrics log, sorted into lines of a plot."""

    losses: dict[str, dict[str, Points]] = field(default_factory=dict[str, dict[str, Points]])
    """Stage -> loss -> points. After `multi_task`, steps go on counting from there."""
    scores: dict[str, Points] = field(default_factory=dict[str, Points])
    """Task -> points of its primary metric on the validation set, against steps on labelled images."""
    gradients: dict[str, dict[str, Points]] = field(default_factory=dict[str, dict[str, Points]])
    """``norm``, ``cosine`` and ``ratio`` -> update (or ``auxiliary``) -> points: what losses do to the encoder, against steps
    (`mgm.training.gradients.GradientShares`)."""
    joint_start: int | None = None
    """Steps of the network before joint training; None without it."""
    kinds: Mapping[str, type[Task]] = field(default_factory=lambda: TASKS)
    """All tasks that there may be scores of."""


def read_history(path: Path) -> History:
    """Sort the records of the metrics log of a run; a value that was not finite is NaN, and a missing log is empty.

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
    """Stages of which any log has losses, in the order of a training."""
    return in_order(STAGE_TITLES, [history.losses for history in histories])


def tasks_of(histories: Iterable[History]) -> list[str]:
    """Tasks of which any log has scores, in the order of tables."""
    return in_order(TASKS, [history.scores for history in histories])


def kind_of(name: str, histories: Iterable[History]) -> type[Task]:
    """The task of a name that the first log with scores of it knows it by."""
    return find_task(name, next((history.kinds for history in histories if name in history.scores), TASKS))


def in_order(known: Iterable[str], present: Iterable[Collection[str]]) -> list[str]:
    """The names that are present anywhere, known ones first and in their order."""
    names = list(dict.fromkeys(name for group in present for name in group))
    return [name for name in known if name in names] + [name for name in names if name not in known]
