"""The sizes of labelled images over a training (progressive resizing, as in Tan and Le, EfficientNetV2, 2021)."""

from __future__ import annotations

from mgm.config import Experiment


def side_at(experiment: Experiment, step: int) -> int:
    """Side in pixels of the labelled images of an update of M, counted over all stages.

    The sizes change within the share of the steps that comes before joint training, also where a recipe has none: step t of a
    baseline sees images of the size that step t of any other recipe sees.
    """
    training = experiment.training
    sides = (*training.early_sizes, experiment.data.image_size)
    alone = training.steps - round(training.steps * training.joint_share)
    return sides[min(len(sides) * step // max(alone, 1), len(sides) - 1)]
