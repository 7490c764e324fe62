"""Dense prediction tasks. A new one is a class in a file of its own and a line in `TASKS`."""

from __future__ import annotations

from collections.abc import Sequence

from mgm.config import RECOMMENDED
from mgm.errors import ConfigError, choose
from mgm.tasks.base import ClassScore, Confusion, MetricInfo, Task, TaskMetrics
from mgm.tasks.depth import Depth
from mgm.tasks.normals import SurfaceNormals
from mgm.tasks.segmentation import SemanticSegmentation
from mgm.tasks.taskonomy import EdgeTexture, PrincipalCurvature, Reshading

__all__ = [
    "TASKS",
    "ClassScore",
    "Confusion",
    "MetricInfo",
    "Task",
    "TaskMetrics",
    "find_task",
    "loss_names",
    "make_tasks",
    "parse_losses",
]

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (SemanticSegmentation, Depth, SurfaceNormals, EdgeTexture, Reshading, PrincipalCurvature)
}
"""Name -> task, in the order of tables."""


def make_tasks(
    names: Sequence[str],
    classes: Sequence[str] = (),
    losses: Sequence[str] = (),
    colours: Sequence[tuple[int, int, int]] = (),
) -> dict[str, Task]:
    """The tasks of a run.

    Args:
        names: Keys of `TASKS`, in the wanted order.
        classes: Names of the semantic classes in index order; only ``semantic`` needs them.
        losses: What tasks train by, see `parse_losses`; all others train by the paper's loss, or the recommended one if the word
            `mgm.config.RECOMMENDED` is among them. Nothing else depends on them.
        colours: Of the semantic classes in pictures; without one for each class they have the usual ones.

    Raises:
        ConfigError: If there is no name, one is unknown or occurs twice, ``semantic`` has no classes, or ``losses`` are not
            among the choices or speak of another task.
    """
    chosen = parse_losses(losses)
    if not names:
        raise ConfigError(f"no task chosen. Choices: {', '.join(TASKS)}")
    for name in names:
        find_task(name)
        if list(names).count(name) > 1:
            raise ConfigError(f"task {name!r} is chosen more than once; name each task once")
    for name, loss in chosen.items():
        if name not in names:
            raise ConfigError(f"losses has {name}:{loss}, but {name} is not learned; the tasks are {', '.join(names)}")
    tasks = {name: TASKS[name](classes, loss) for name, loss in loss_names(names, losses).items()}
    if semantic := tasks.get(SemanticSegmentation.name):
        semantic.own_colours = colours
    return tasks


def loss_names(names: Sequence[str], losses: Sequence[str]) -> dict[str, str]:
    """Task -> name of what it trains by, from the setting ``losses`` (see `make_tasks`)."""
    chosen = parse_losses(losses)
    recommended = RECOMMENDED in losses
    return {
        name: chosen.get(name)
        or (TASKS[name].recommended_loss if recommended else "")
        or next(iter(TASKS[name].losses))
        for name in names
    }


def find_task(name: str) -> type[Task]:
    """The task of a name.

    Raises:
        ConfigError: If there is none.
    """
    try:
        return choose("task", name, TASKS)
    except ConfigError as error:
        raise ConfigError(f"{error}. A task of your own has to be loaded: --plugin FILE.py") from None


def parse_losses(losses: Sequence[str]) -> dict[str, str]:
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
        task = find_task(name)
        choose(f"loss of {name}", loss, dict(task.losses))
        if name in chosen:
            raise ConfigError(f"losses has {name}:{chosen[name]} and {entry}; give one loss per task")
        chosen[name] = loss
    return chosen
