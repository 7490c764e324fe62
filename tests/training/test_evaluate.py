"""Sums of single images make the scores of all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mgm.tasks import TASKS
from mgm.training.evaluate import ImageSums, measure, scores_of
from mgm.types import Batch
from task_cases import make_task, random_prediction, random_target


@pytest.mark.parametrize("name", TASKS)
def test_sums_of_images_add_up_to_the_scores(name):
    task = make_task(name)
    predictions = [{name: random_prediction(task, seed, 3)} for seed in (1, 2)]
    batches = [
        Batch(torch.zeros(3, 3, 5, 6), {name: random_target(task, seed, 3)}, torch.zeros(3, 0)) for seed in (3, 4)
    ]
    images = ImageSums({name: task}, 6)
    answers = iter(predictions)
    scores = scores_of(measure(lambda _: next(answers), batches, {name: task}, images=images))[name]
    sums = {key.partition(".")[2]: array for key, array in images.arrays(torch.device("cpu")).items()}
    assert all(array.shape[0] == 6 for array in sums.values())
    again = type(task.metrics()).from_sums({key: array.sum(0) for key, array in sums.items()})
    assert task.primary in again
    for metric, value in again.items():
        assert value == pytest.approx(scores[metric], rel=1e-5)
    # many resamples at once, and images without a label
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 0, 0, 0, 0]], float)
    twice = type(task.metrics()).from_sums({key: weights @ array for key, array in sums.items()})
    assert twice[task.primary][0] == pytest.approx(scores[task.primary], rel=1e-5)
    assert twice[task.primary].shape == (2,)
    nothing = type(task.metrics()).from_sums({key: 0 * array.sum(0) for key, array in sums.items()})
    assert np.isnan(nothing[task.primary])
