"""A minibatch in equal parts."""

from dataclasses import replace

import pytest
import torch

from mgm.errors import ConfigError
from mgm.training.micro_batches import split_batch
from toys import toy_batch, toy_tasks


def test_parts_must_be_equal():
    tasks = toy_tasks()
    (whole,) = split_batch(toy_batch(0, 6), 1, tasks)
    assert len(whole) == 6
    with pytest.raises(ConfigError, match="6 images per process cannot be computed in 4 equal parts"):
        split_batch(toy_batch(0, 6), 4, tasks)


def test_a_task_without_any_label_weighs_nothing():
    batch = toy_batch(0, 4)
    batch.targets["depth"][:] = float("nan")
    first, second = split_batch(batch, 2, toy_tasks())
    assert first.shares["depth"] == second.shares["depth"] == 0
    assert first.weigh("unknown", torch.tensor(3.0)) == 3


def test_parts_and_devices_keep_the_whole_images():
    batch = toy_batch(0, 4)
    mixed = replace(batch, images=batch.images * 0, unmixed=batch.images)
    assert batch.real_images is batch.images
    parts = split_batch(mixed, 2, toy_tasks())
    assert torch.equal(torch.cat([part.real_images for part in parts]), batch.images)
    assert torch.equal(mixed.to(torch.device("cpu")).real_images, batch.images)
