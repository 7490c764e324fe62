"""The update contract: after every update of Algorithm 1, exactly the named networks have changed."""

from dataclasses import replace
from itertools import cycle

import pytest
import torch

from mgm.networks.decoders import DECODERS
from toys import METHODS, changed, run_single, snapshot, toy_batch, toy_experiment, toy_trainer, with_runs


@pytest.mark.parametrize("method, decoder", [*zip(METHODS, cycle(DECODERS)), (METHODS[0], list(DECODERS)[1])], ids=str)
def test_exactly_the_named_networks_change(tmp_path, method, decoder):
    trainer = toy_trainer(toy_experiment(method=method, model={"decoder": decoder}), tmp_path)
    trained_by_earlier = set()
    for number, stage in enumerate(trainer.stages):
        trainer.position.stage = number
        for update in stage.updates:
            if update.name in trained_by_earlier:
                continue
            parameters, buffers = run_single(trainer, stage, update)
            assert parameters == set(update.trains), f"{stage.name}/{update.name} changed {parameters}"
            assert buffers <= set(update.statistics), f"{stage.name}/{update.name} moved buffers of {buffers}"


LABELS_ALONE = {
    "refinement": "none",
    "self_supervision": "none",
    "extra_images": "composites",
    "extra_uses": ("labels",),
}
FROZEN = [
    ("mt", {}, "separate"),
    ("mt", {}, "combined"),
    ("st_synthesized", {}, "combined"),
    ("mgm", LABELS_ALONE, "separate"),
    ("mgm", {"refinement": "peoe", "self_supervision": "none", "extra_uses": ("refinement",)}, "combined"),
]


@pytest.mark.parametrize("recipe, method, optimizer_step", FROZEN)
def test_a_frozen_encoder_stays_with_its_statistics(tmp_path, recipe, method, optimizer_step):
    training = {
        "optimizer_step": optimizer_step,
        "statistics": "all",
        "steps": 4,
        "generator_steps": 2,
        "weight_decay": 0.1,
    }
    experiment = toy_experiment(recipe, method=method, training=training, model={"freeze_encoder": True})
    trainer = toy_trainer(
        with_runs(experiment), tmp_path, annotate=lambda extra: replace(extra, targets=toy_batch(1, len(extra)).targets)
    )
    before = snapshot(trainer.networks)
    images = toy_batch(5, 4).images
    trainer.networks.train()
    alone, beside = trainer.networks["encoder"](images[:1]), trainer.networks["encoder"](images)
    torch.testing.assert_close(
        alone, [level[:1] for level in beside], msg="features are those of evaluation, whatever stands beside an image"
    )
    trainer.run()
    after = snapshot(trainer.networks)
    assert changed(before[0], after[0]) == set().union(*(stage.trains for stage in trainer.stages))
    assert "encoder" not in changed(before[0], after[0]) | changed(before[1], after[1])
    assert "decoders" in changed(before[1], after[1])


def test_declared_statistics_do_move(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path)
    joint = trainer.stages[-1]
    moved = {update.name: run_single(trainer, joint, update)[1] for update in joint.updates}
    assert moved["task"] == {"encoder", "decoders"}
    assert moved["refinement"] == {"refinement"}
    assert moved["discriminator"] == {"discriminator", "generator"}
    assert moved["generator"] == set()
    assert moved["extra_refinement"] == moved["extra_self_supervision"] == set()


def test_statistics_of_all_batches_on_request(tmp_path):
    trainer = toy_trainer(toy_experiment(training={"statistics": "all"}), tmp_path)
    joint = trainer.stages[-1]
    for update in joint.updates:
        if update.name.startswith("extra"):
            assert run_single(trainer, joint, update)[1] == {"encoder"} | (
                {"decoders"} if update.name == "extra_refinement" else set()
            )


def test_frozen_networks_stay_in_generator_stage(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path)
    trainer.position.stage = 1
    before = snapshot(trainer.networks)
    for name, network in trainer.networks.items():
        network.requires_grad_(name in trainer.stages[1].trains)
    trainer.networks.train()
    trainer.train_step(trainer.stages[1], 0)
    after = snapshot(trainer.networks)
    assert changed(before[0], after[0]) == {"generator", "discriminator", "embedding"}
    assert changed(before[1], after[1]) == {"generator", "discriminator"}
