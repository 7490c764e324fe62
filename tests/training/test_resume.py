"""A run that is killed and continued ends bitwise where an uninterrupted one ends."""

from __future__ import annotations

import pytest
import torch

from mgm.data.files import write_atomically
from mgm.errors import RunError, TrainingDivergedError
from mgm.training.checkpoint import load_checkpoint, save_checkpoint
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from toys import KilledError, assert_same, kill_after, toy_experiment, toy_trainer, validate

SETTINGS = {"ema": 0.9, "checkpoint_every": 2, "validate_every": 2}


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
@pytest.mark.parametrize("killed_after", [0, 1, 2, 3, 4, 5, 7, 8, 10])
def test_killed_and_resumed_is_bitwise_uninterrupted(tmp_path, killed_after, optimizer_step):
    experiment = toy_experiment(training={**SETTINGS, "optimizer_step": optimizer_step, "steps": 8})
    whole = toy_trainer(experiment, tmp_path / "whole", validate=validate)
    whole.run()

    first = toy_trainer(experiment, tmp_path / "killed", validate=validate)
    kill_after(first, killed_after)
    with pytest.raises(KilledError):
        first.run()
    second = toy_trainer(experiment, tmp_path / "killed", validate=validate)
    second.restore()
    second.run()

    for name in ("last.pt", "best.pt", "generator_after_generator.pt", "generator_after_joint.pt"):
        assert_same(load_checkpoint(tmp_path / "whole" / name), load_checkpoint(tmp_path / "killed" / name))
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
@pytest.mark.parametrize("killed_after", [3, 6, 9])
def test_rates_that_change_and_other_decoders_too(tmp_path, killed_after, optimizer_step):
    """Killed in each of the three stages; AdamW with decay, the shared pyramid."""
    training = {"optimizer_step": optimizer_step, "steps": 8, "joint_share": 0.5, "generator_steps": 3}
    training |= {"schedule": "one_cycle", "warm_up": 0.3, "optimizer": "adamw", "weight_decay": 0.05}
    experiment = toy_experiment(training={**SETTINGS, **training}, model={"decoder": "pyramid"})
    toy_trainer(experiment, tmp_path / "whole", validate=validate).run()
    first = toy_trainer(experiment, tmp_path / "killed", validate=validate)
    kill_after(first, killed_after)
    with pytest.raises(KilledError):
        first.run()
    second = toy_trainer(experiment, tmp_path / "killed", validate=validate)
    assert second.restore()
    second.run()
    for name in ("last.pt", "best.pt"):
        assert_same(load_checkpoint(tmp_path / "whole" / name), load_checkpoint(tmp_path / "killed" / name))
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()


@pytest.mark.parametrize("optimizer_step", ["separate", "combined"])
def test_with_a_frozen_encoder_too(tmp_path, optimizer_step):
    experiment = toy_experiment(
        "mt",
        training={**SETTINGS, "optimizer_step": optimizer_step, "steps": 6},
        model={"freeze_encoder": True},
    )
    whole = toy_trainer(experiment, tmp_path / "whole", validate=validate)
    whole.run()
    first = toy_trainer(experiment, tmp_path / "killed", validate=validate)
    before = [value.clone() for value in first.networks["encoder"].state_dict().values()]
    kill_after(first, 3)
    with pytest.raises(KilledError):
        first.run()
    second = toy_trainer(experiment, tmp_path / "killed", validate=validate)
    second.restore()
    second.run()
    assert_same(load_checkpoint(tmp_path / "whole/last.pt"), load_checkpoint(tmp_path / "killed/last.pt"))
    assert_same(before, list(second.networks["encoder"].state_dict().values()))


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


def test_checkpoint_with_code_is_refused(tmp_path):
    import pickle

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        load_checkpoint(path)
    torch.save({"a": KilledError}, path)
    with pytest.raises(RunError, match="damaged or no checkpoint"):
        load_checkpoint(path)


def test_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"weights": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(RunError, match="disk full"):
        write_atomically(path, fail)
    assert load_checkpoint(path) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]
