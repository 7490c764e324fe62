"""Labels by the moving average: where it is believed, what the network then sees, and who learns from it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from mgm.errors import ConfigError
from mgm.method.algorithm import joint_updates
from mgm.method.consistency import taught
from mgm.runs.checks import check_experiment
from mgm.tasks import make_tasks
from mgm.training.step import StepInputs
from mgm.types import IGNORE_INDEX, Batch
from toys import toy_batch, toy_experiment, toy_trainer

CONSISTENT = {"extra_images": "weak", "extra_uses": ("consistency",), "refinement": "none", "self_supervision": "none"}


class Teacher(nn.Module):
    """Its predictions are the channels of the images themselves, but for one thing that it sees on the right side alone."""

    def __init__(self, seen_right=0.0):
        super().__init__()
        self.seen_right = seen_right

    def forward(self, images):
        assert not self.training
        right = torch.arange(images.shape[-1]) >= images.shape[-1] / 2
        depth = images[:, 2:] + self.seen_right * right
        return {"semantic": 10 * images[:, :2] * right, "depth": depth, "normal": images.abs()}


def batch_of(first_class, second_class, depth):
    images = torch.stack([torch.tensor(values) for values in (first_class, second_class, depth)])[None]
    return Batch(images, {"semantic": torch.zeros(1, *images.shape[2:], dtype=torch.int64)}, torch.ones(1, 1))


def test_labels_are_the_mean_of_both_views_where_they_are_sure():
    tasks = make_tasks(("semantic", "depth"), ("wall", "floor"))
    # the mean of the logits is 5 times the channels: probabilities of .99 on the left, .62 on the right
    batch = batch_of([[1.0, 0.0]], [[0.0, 0.1]], [[2.0, 3.0]])
    found = taught(Teacher(0.1), batch, tasks, 0.8)
    assert found.targets["semantic"].tolist() == [[[0, IGNORE_INDEX]]]
    torch.testing.assert_close(found.targets["depth"], torch.tensor([[[[2.05, 3.05]]]]))
    unsure = taught(Teacher(0.3), batch, tasks, 0.8)  # the two views differ by 30 cm
    assert unsure.targets["depth"].isnan().all()
    every = taught(Teacher(0.3), batch, tasks, 0.0)
    assert every.targets["semantic"].tolist() == [[[0, 1]]]
    torch.testing.assert_close(every.targets["depth"], torch.tensor([[[[2.15, 3.15]]]]))


def test_the_mirrored_prediction_is_mirrored_as_its_task_says():
    tasks = make_tasks(("normal",), ())
    images = torch.rand(2, 3, 4, 4)
    found = taught(Teacher(), Batch(images, {}, torch.ones(2, 1)), tasks, 0.0)
    expected = (images + tasks["normal"].mirror(images.flip(-1))) / 2
    torch.testing.assert_close(found.targets["normal"], tasks["normal"].decode(expected))


def make_step(trainer):
    trainer.networks.train()
    return trainer.make_step(StepInputs(toy_batch(0, 4), 0, 1, 0, average=trainer.average.model))


def test_the_average_labels_and_the_network_sees_another_view(tmp_path):
    trainer = toy_trainer(toy_experiment(method=CONSISTENT | {"confidence": 0.0}), tmp_path)
    labelled = taught(trainer.average.model, trainer.loaders["extra"](0, 4), trainer.tasks, 0.0)
    with torch.no_grad():  # the network moves away from its average
        for parameter in trainer.networks.model.parameters():
            parameter.mul_(-1)
    steps: Any = trainer.make_step
    trainer.make_step = replace(steps, strengthen=lambda batch, seed: replace(batch, images=batch.images + 0.5))
    step = make_step(trainer)
    seen = step.images_of("taught")
    torch.testing.assert_close(seen.images, labelled.images + 0.5)
    for name, target in labelled.targets.items():
        torch.testing.assert_close(seen.targets[name], target, equal_nan=True)
    assert step.images_of("taught") is seen


def test_images_of_a_generator_are_labelled_too(tmp_path):
    method = {"extra_uses": ("consistency", "refinement"), "gradient_into_generator": True, "confidence": 0.0}
    trainer = toy_trainer(toy_experiment(method=method), tmp_path)
    step = make_step(trainer)
    assert step.images_of("extra").images.requires_grad
    assert not step.images_of("taught").images.requires_grad
    assert set(step.images_of("taught").targets) == set(trainer.tasks)


def test_the_network_learns_and_its_average_follows_without_a_gradient(tmp_path):
    trainer = toy_trainer(toy_experiment(method=CONSISTENT, training={"ema": 0.9}), tmp_path)
    assert [update.name for update in trainer.stages[-1].updates] == ["task", "consistency"]
    trainer.enter_stage(len(trainer.stages) - 1)
    losses = trainer.train_step(trainer.stages[-1], 0)
    assert torch.isfinite(losses["consistency"])
    assert all(parameter.grad is None for parameter in trainer.average.model.parameters())


def test_weight_and_confidence_are_settings():
    method = toy_experiment(method=CONSISTENT | {"consistency_weight": 0.25}).method
    assert {update.name: update.weight for update in joint_updates(method)} == {"task": 1.0, "consistency": 0.25}
    with pytest.raises(ConfigError, match=r"confidence is 1.5; it must lie in \[0, 1\]"):
        check_experiment(toy_experiment(method={"confidence": 1.5}))


def test_without_an_average_there_is_nothing_to_agree_with():
    with pytest.raises(ConfigError, match="use --ema 0.99"):
        check_experiment(toy_experiment(method=CONSISTENT, training={"ema": 0.0}))
