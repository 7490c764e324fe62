"""Dense prediction tasks. A new one is a class in a file of its own and a line in `TASKS`."""

from __future__ import annotations

from collections.abc import Sequence

from mgm.errors import ConfigError, choose
from mgm.tasks.base import ClassScore, MetricInfo, Task, TaskMetrics
from mgm.tasks.depth import Depth
from mgm.tasks.normals import SurfaceNormals
from mgm.tasks.segmentation import SemanticSegmentation
from mgm.tasks.taskonomy import EdgeTexture, PrincipalCurvature, Reshading

__all__ = ["TASKS", "ClassScore", "MetricInfo", "Task", "TaskMetrics", "make_tasks"]

TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (SemanticSegmentation, Depth, SurfaceNormals, EdgeTexture, Reshading, PrincipalCurvature)
}
"""Name -> task, in the order of tables."""


def make_tasks(names: Sequence[str], classes: Sequence[str] = ()) -> dict[str, Task]:
    """The tasks of a run.

    Args:
        names: Keys of `TASKS`, in the wanted order.
        classes: Names of the semantic classes in index order; only ``semantic`` needs them.

    Raises:
        ConfigError: If a name is unknown or occurs twice, if there is none, or if ``semantic`` has no classes.
    """
    if not names:
        raise ConfigError(f"no task chosen. Choices: {', '.join(TASKS)}")
    for name in names:
        choose("task", name, TASKS)
        if list(names).count(name) > 1:
            raise ConfigError(f"task {name!r} is chosen more than once; name each task once")
    return {name: TASKS[name](classes) for name in names}
