"""Dense prediction tasks. A new one is a class in its own file, registered in `TASKS`; data sets may define more (`own`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mgm.config import RECOMMENDED
from mgm.errors import ConfigError, choose
from mgm.tasks.base import ClassScore, Confusion, MetricInfo, Task, TaskMetrics
from mgm.tasks.depth import Depth
from mgm.tasks.normals import SurfaceNormals
from mgm.tasks.own import define
from mgm.tasks.segmentation import SemanticSegmentation
from mgm.tasks.taskonomy import EdgeTexture, PrincipalCurvature, Reshading
from mgm.types import DatasetInfo

__all__ = [
    "TASKS",
    "ClassScore",
    "Confusion",
    "Definitions",
    "MetricInfo",
    "Task",
    "TaskMetrics",
    "find_task",
    "label_map_of",
    "loss_names",
    "make_tasks",
    "parse_losses",
    "task_kinds",
    "tasks_for",
]

Definitions = Mapping[str, Mapping[str, Any]]
"""Name of a task defined by a data set -> its definition (`mgm.types.DatasetInfo.own_tasks`)."""

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (SemanticSegmentation, Depth, SurfaceNormals, EdgeTexture, Reshading, PrincipalCurvature)
}
"""Task name -> task class, in the order used in tables."""


def task_kinds(own: Definitions) -> dict[str, type[Task]]:
    """Task classes by name: `TASKS`, followed by the tasks that a data set defines.

    Raises:
        ConfigError: If a definition is invalid, or its name is that of a built-in task.
    """
    if taken := next((name for name in own if name in TASKS), None):
        raise ConfigError(f"tasks: {taken!r} is a built-in task of mgm and cannot be redefined; choose another name")
    return TASKS | {name: define(name, definition) for name, definition in own.items()}


def tasks_for(info: DatasetInfo, names: Sequence[str] = (), losses: Sequence[str] = ()) -> dict[str, Task]:
    """Make the tasks for a run on a data set: the named ones, or all that it offers. See `make_tasks`."""
    tasks = make_tasks(names or info.tasks, info.classes, losses, info.own_tasks)
    if semantic := tasks.get(SemanticSegmentation.name):
        semantic.own_colours = info.colours
    return tasks


def label_map_of(tasks: Mapping[str, Task | type[Task]]) -> str:
    """Name of the task whose classes describe image content: ``semantic``, else the first categorical task, else ``""``."""
    if SemanticSegmentation.name in tasks:
        return SemanticSegmentation.name
    return next((name for name, task in tasks.items() if task.categorical), "")


def make_tasks(
    names: Sequence[str], classes: Sequence[str] = (), losses: Sequence[str] = (), own: Definitions | None = None
) -> dict[str, Task]:
    """Make task objects from their names.

    Args:
        names: Keys of `TASKS` or of ``own``, in the wanted order.
        classes: Names of the semantic classes in index order; only ``semantic`` needs them.
        losses: Training losses, see `parse_losses`. A task that is not listed uses the paper's loss, or its recommended loss if
            `mgm.config.RECOMMENDED` is in the list. The choice affects training only.
        own: Definitions of the tasks that the data set defines.

    Raises:
        ConfigError: If ``names`` is empty, a name is unknown or repeated, ``semantic`` has no classes, or ``losses`` has an
            unknown loss or a task that is not in ``names``.
    """
    kinds = task_kinds(own or {})
    chosen = parse_losses(losses, kinds)
    if not names:
        raise ConfigError(f"no task chosen. Choices: {', '.join(kinds)}")
    for name in names:
        find_task(name, kinds)
        if list(names).count(name) > 1:
            raise ConfigError(f"task {name!r} is chosen more than once; name each task once")
    for name, loss in chosen.items():
        if name not in names:
            raise ConfigError(f"losses has {name}:{loss}, but {name} is not learned; the tasks are {', '.join(names)}")
    return {name: kinds[name](classes, loss) for name, loss in loss_names(names, losses, kinds).items()}


def loss_names(names: Iterable[str], losses: Sequence[str], kinds: Mapping[str, type[Task]]) -> dict[str, str]:
    """Task name -> name of its training loss, from the setting ``losses`` (see `make_tasks`)."""
    chosen = parse_losses(losses, kinds)
    recommended = RECOMMENDED in losses
    return {
        name: chosen.get(name)
        or (kinds[name].recommended_loss if recommended else "")
        or next(iter(kinds[name].losses))
        for name in names
    }


def find_task(name: str, kinds: Mapping[str, type[Task]]) -> type[Task]:
    """Look up a task class by name.

    Raises:
        ConfigError: If the name is unknown.
    """
    try:
        return choose("task", name, dict(kinds))
    except ConfigError as error:
        loaded = "To use a task of your own, load it with --plugin FILE.py, or define it in the data's dataset.yaml"
        raise ConfigError(f"{error}. {loaded}") from None


def parse_losses(losses: Sequence[str], kinds: Mapping[str, type[Task]]) -> dict[str, str]:
    """Task name -> loss name, from entries such as ``depth:log``; the entry ``recommended`` is skipped.

    Raises:
        ConfigError: If an entry is malformed, names an unknown task or loss, or repeats a task.
    """
    chosen: dict[str, str] = {}
    for entry in losses:
        if entry == RECOMMENDED:
            continue
        name, _, loss = entry.partition(":")
        if not (name and loss):
            raise ConfigError(f"losses has {entry!r}; write TASK:LOSS, for example depth:log, or {RECOMMENDED}")
        task = find_task(name, kinds)
        choose(f"loss of {name}", loss, dict(task.losses))
        if name in chosen:
            raise ConfigError(f"losses has {name}:{chosen[name]} and {entry}; give one loss per task")
        chosen[name] = loss
    return chosen
