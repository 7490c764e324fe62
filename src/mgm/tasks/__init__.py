"""Dense prediction tasks. A new one is a class in a file of its own and a line in `TASKS`; data sets may define more (`own`)."""

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
"""Task that a data set defines -> its definition (`mgm.types.DatasetInfo.own_tasks`)."""

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (SemanticSegmentation, Depth, SurfaceNormals, EdgeTexture, Reshading, PrincipalCurvature)
}
"""Name -> task, in the order of tables."""


def task_kinds(own: Definitions) -> dict[str, type[Task]]:
    """`TASKS`, and after them those that a data set defines.

    Raises:
        ConfigError: If a definition is none, or its name is taken.
    """
    if taken := next((name for name in own if name in TASKS), None):
        raise ConfigError(f"tasks: {taken!r} is a task of mgm, which cannot be defined again; choose another name")
    return TASKS | {name: define(name, definition) for name, definition in own.items()}


def tasks_for(info: DatasetInfo, names: Sequence[str] = (), losses: Sequence[str] = ()) -> dict[str, Task]:
    """The tasks of a run on a data set: those of some names, or all that it offers. See `make_tasks`."""
    tasks = make_tasks(names or info.tasks, info.classes, losses, info.own_tasks)
    if semantic := tasks.get(SemanticSegmentation.name):
        semantic.own_colours = info.colours
    return tasks


def label_map_of(tasks: Mapping[str, Task | type[Task]]) -> str:
    """The task whose classes stand for what is in an image: ``semantic``, or else the first one with classes; empty without any."""
    if SemanticSegmentation.name in tasks:
        return SemanticSegmentation.name
    return next((name for name, task in tasks.items() if task.categorical), "")


def make_tasks(
    names: Sequence[str], classes: Sequence[str] = (), losses: Sequence[str] = (), own: Definitions | None = None
) -> dict[str, Task]:
    """The tasks of a run.

    Args:
        names: Keys of `TASKS` or of ``own``, in the wanted order.
        classes: Names of the semantic classes in index order; only ``semantic`` needs them.
        losses: What tasks train by, see `parse_losses`; all others train by the paper's loss, or the recommended one if the word
            `mgm.config.RECOMMENDED` is among them. Nothing else depends on them.
        own: Tasks that the data set defines.

    Raises:
        ConfigError: If there is no name, one is unknown or occurs twice, ``semantic`` has no classes, or ``losses`` are not
            among the choices or speak of another task.
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
    """Task -> name of what it trains by, from the setting ``losses`` (see `make_tasks`)."""
    chosen = parse_losses(losses, kinds)
    recommended = RECOMMENDED in losses
    return {
        name: chosen.get(name)
        or (kinds[name].recommended_loss if recommended else "")
        or next(iter(kinds[name].losses))
        for name in names
    }


def find_task(name: str, kinds: Mapping[str, type[Task]]) -> type[Task]:
    """The task of a name.

    Raises:
        ConfigError: If there is none.
    """
    try:
        return choose("task", name, dict(kinds))
    except ConfigError as error:
        loaded = "A task of your own has to be loaded: --plugin FILE.py, or defined in the data's dataset.yaml"
        raise ConfigError(f"{error}. {loaded}") from None


def parse_losses(losses: Sequence[str], kinds: Mapping[str, type[Task]]) -> dict[str, str]:
    """Task -> name of its loss, from entries such as ``depth:log``, leaving out the word recommended.

    Raises:
        ConfigError: If an entry is none, names an unknown task or loss, or a task a second time.
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
