"""A run that is killed and continued ends bitwise where an uninterrupted one ends."""

from functools import cache

import pytest
import torch

from mgm.errors import RunError, TrainingDivergedError
from mgm.training.checkpoint import load_checkpoint
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from toys import assert_resumed_is_bitwise_uninterrupted, toy_experiment, toy_trainer, validate

SETTINGS = {"ema": 0.9, "checkpoint_every": 2, "validate_every": 2}


def make(folder, recipe="mgm", model=None, **training):
    experiment = toy_experiment(recipe, training={**SETTINGS, "steps": 8, **training}, model=model)
    return toy_trainer(experiment, folder, validate=validate)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Way of a step -> folder of an uninterrupted training."""

    @cache
    def run(optimizer_step):
        folder = tmp_path_factory.mktemp("whole") / "run"
        make(folder, optimizer_step=optimizer_step).run()
        return folder

    return run


@pytest.mark.parametrize(
    "optimizer_step, killed_after",
    [*(("separate", steps) for steps in (0, 3, 4, 5, 8)), *(("combined", steps) for steps in (2, 7, 10))],
)
def test_killed_and_resumed_is_bitwise_uninterrupted(tmp_path, whole, killed_after, optimizer_step):
    done = whole(optimizer_step)
    names = {path.name for path in done.glob("*.pt")}
    assert {"best.pt", "generator_after_generator.pt", "generator_after_joint.pt"} <= names
    assert_resumed_is_bitwise_uninterrupted(
        lambda folder: make(folder, optimizer_step=optimizer_step), tmp_path, killed_after, done
    )


@pytest.mark.parametrize("optimizer_step, killed_after", [("separate", 3), ("combined", 9)])
def test_rates_that_change_and_other_decoders_too(tmp_path, killed_after, optimizer_step):
    """AdamW with decay, the shared pyramid."""
    training = {"optimizer_step": optimizer_step, "joint_share": 0.5, "generator_steps": 3}
    training |= {"schedule": "one_cycle", "warm_up": 0.3, "optimizer": "adamw", "weight_decay": 0.05}
    assert_resumed_is_bitwise_uninterrupted(
        lambda folder: make(folder, model={"decoder": "pyramid"}, **training), tmp_path, killed_after
    )


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
def test_with_a_frozen_encoder_too(tmp_path, optimizer_step):
    def frozen(folder):
        return make(folder, "mt", {"freeze_encoder": True}, optimizer_step=optimizer_step, steps=6)

    before = frozen(tmp_path / "new").networks["encoder"].state_dict()
    assert_resumed_is_bitwise_uninterrupted(frozen, tmp_path, killed_after=3)
    after = load_checkpoint(tmp_path / "killed/last.pt")["networks"]
    assert all(torch.equal(after[f"model.encoder.{name}"], value) for name, value in before.items())


def test_nan_stops_with_the_last_good_checkpoint(tmp_path):
    trainer = toy_trainer(toy_experiment("mt", training={"steps": 8, "checkpoint_every": 2}), tmp_path)
    feed = trainer.loaders["labelled"]

    def poisoned(step, count):
        batch = feed(step, count)
        return batch if step < 5 else type(batch)(batch.images * float("nan"), batch.targets, batch.scene)

    trainer.loaders["labelled"] = poisoned
    with pytest.raises(TrainingDivergedError, match="last good checkpoint"):
        trainer.run()
    state = load_checkpoint(tmp_path / "last.pt")
    assert (state["position"]["stage"], state["position"]["step"]) == (1, 0)
    assert all(torch.isfinite(value).all() for value in state["networks"].values())


def test_checkpoint_of_other_settings_is_refused(tmp_path):
    toy_trainer(toy_experiment("mt"), tmp_path).run()
    other = toy_trainer(toy_experiment("mt", model={"widths": (8, 8, 16, 24)}), tmp_path)
    with pytest.raises(RunError, match="does not fit"):
        other.restore()
