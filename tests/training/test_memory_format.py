"""Channels last are the same numbers to rounding, and moments are never mixed up."""

import pytest
import torch

from mgm.config import TrainingConfig
from mgm.training.checkpoint import load_checkpoint
from mgm.training.memory_format import memory_format
from toys import toy_experiment, toy_trainer


def test_by_device():
    auto, never = TrainingConfig(), TrainingConfig(channels_last="never")
    assert memory_format(auto, torch.device("cuda")) == torch.channels_last
    assert memory_format(auto, torch.device("cpu")) == memory_format(never, torch.device("cpu"))  # see `FASTER_LAST`
    assert memory_format(auto, torch.device("mps")) == memory_format(never, torch.device("cuda"))
    assert memory_format(TrainingConfig(channels_last="always"), torch.device("mps")) == torch.channels_last


def losses(trainer, steps):
    trainer.networks.train()
    trainer.position.stage = len(trainer.stages) - 1
    return [trainer.train_step(trainer.stages[-1], index) for index in steps]


def test_same_losses_to_rounding(tmp_path):
    """At the same weights: one after another, optimisers would enlarge what is rounded."""
    training = {"optimizer_step": "combined"}
    found = {
        choice: losses(
            toy_trainer(toy_experiment(training={**training, "channels_last": choice}), tmp_path / choice), range(1)
        )
        for choice in ("always", "never")
    }
    for last, plain in zip(found["always"], found["never"], strict=True):
        for name, value in plain.items():
            torch.testing.assert_close(last[name], value, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.parametrize(("first", "second"), [("never", "always"), ("always", "never")])
def test_moments_from_a_file_follow_the_parameters(tmp_path, first, second):
    """A run that goes on with the other order takes the same step; torch's fused Adam would mix up the channels."""
    training = {"weight_decay": 0.0, "steps": 4}
    one = toy_trainer(toy_experiment("mt", training={**training, "channels_last": first}), tmp_path)
    losses(one, range(2))
    one.save()
    two = toy_trainer(toy_experiment("mt", training={**training, "channels_last": second}), tmp_path)
    assert two.restore()
    before = [parameter.detach().clone() for parameter in one.networks.parameters()]
    for trainer in (one, two):
        losses(trainer, range(2, 3))
    for old, (name, a), b in zip(before, one.networks.named_parameters(), two.networks.parameters(), strict=True):
        # Adam enlarges what is rounded where a gradient is next to nothing; moments of other weights would be another step
        assert (a - b).norm() <= 0.3 * (a - old).norm() + 1e-6, name


def test_best_weights_are_stored_plainly(tmp_path):
    """So that whoever reads them (safetensors, other frameworks) finds them in the usual order."""
    toy_trainer(toy_experiment("mt", training={"steps": 2, "validate_every": 1}), tmp_path).run()
    assert all(value.is_contiguous() for value in load_checkpoint(tmp_path / "best.pt")["model"].values())
