"""The score that selects the best model of a run on the validation set."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mgm.tasks.base import Task
from mgm.training.evaluate import Scores

LEAST = 1e-6
"""Lower bound of metrics before the logarithm."""

Skills = dict[str, float]
"""Task -> log ratio to the constant predictor, see `task_skills`; NaN if either score is unknown."""


def task_skills(scores: Scores, constant: Scores, tasks: Mapping[str, Task]) -> Skills:
    """Log ratio of each task's primary metric to that of the constant predictor; positive is better.

    The mean difference between two models is, to first order, the mean relative gain that tables report, whatever the constant
    predictor scores: 1 % of mIoU counts as much as 1 % of depth error. In the second half of a training, where the best model is
    selected, mIoU changes by 1 to 3 % from one validation to the next, depth by .5 to 1 %, normals by .1 to .6 % (presets
    `quick`, `small`, `best`).

    Alternatives: measured relative to the constant predictor's error, mIoU changed less than depth, so that segmentation hardly
    counted. Cross-entropy selects too early: on 262 photographs it is best halfway through (`small`), after which mIoU grows by
    another 9 to 18 %.

    Args:
        scores: Scores of a model.
        constant: Scores of the constant predictor on the same images.
        tasks: Task name -> task, the tasks to include.
    """
    skills: Skills = {}
    for name, task in tasks.items():
        value, base = (max(found[name].get(task.primary, math.nan), LEAST) for found in (scores, constant))
        sign = 1 if task.metrics_info[task.primary].higher_is_better else -1
        skills[name] = sign * math.log(value / base)
    return skills


def mean_skill(skills: Skills) -> float:
    """Mean over the tasks whose skill is not NaN; NaN if there is none."""
    known = [skill for skill in skills.values() if not math.isnan(skill)]
    return sum(known) / len(known) if known else math.nan
