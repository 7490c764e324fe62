"""By which the best model of a run is chosen on the validation set."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mgm.tasks.base import Task
from mgm.training.evaluate import Scores

LEAST = 1e-6
"""A metric below this counts as this."""

Skills = dict[str, float]
"""Task -> how much better than the constant predictor a model is; NaN where either is unknown."""


def task_skills(scores: Scores, constant: Scores, tasks: Mapping[str, Task]) -> Skills:
    """Logarithm of each task's primary metric relative to the constant predictor's, positive is better.

    The difference between two models is, to first order, the mean relative gain over tasks, which tables report, whatever the
    constant predictor scores: 1 % of mIoU counts as much as 1 % of the depth error. In the second half of a training, where the
    choice is made, mIoU moves by 1 to 3 % from one validation to the next, depth by .5 to 1 %, normals by .1 to .6 % (presets
    `quick`, `small`, `best`). As shares of the constant predictor's error mIoU moved less than depth, and segmentation hardly
    counted. Cross-entropy would choose too early: on 262 photographs it is best halfway (`small`), and mIoU grows by another 9 to
    18 % from there.

    Args:
        scores: Of a model.
        constant: Of the constant predictor, on the same images.
        tasks: Whose skills are wanted.
    """
    skills: Skills = {}
    for name, task in tasks.items():
        value, base = (max(found[name].get(task.primary, math.nan), LEAST) for found in (scores, constant))
        sign = 1 if task.metrics_info[task.primary].higher_is_better else -1
        skills[name] = sign * math.log(value / base)
    return skills


def mean_skill(skills: Skills) -> float:
    """Mean over the tasks that are known; NaN without any."""
    known = [skill for skill in skills.values() if not math.isnan(skill)]
    return sum(known) / len(known) if known else math.nan
