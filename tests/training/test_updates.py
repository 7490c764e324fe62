"""The update contract: after every update of Algorithm 1, exactly the named networks have changed."""

from __future__ import annotations

import pytest
import torch

from mgm.training.algorithm import REFINEMENT
from mgm.training.step import Step
from mgm.training.updates import Stage
from toys import toy_batch, toy_experiment, toy_trainer


def snapshot(networks):
    parameters = {name: [p.detach().clone() for p in net.parameters()] for name, net in networks.items()}
    buffers = {name: [b.detach().clone() for b in net.buffers()] for name, net in networks.items()}
    return parameters, buffers


def changed(before, after):
    return {
        name
        for name in before
        if any(not torch.equal(old, new) for old, new in zip(before[name], after[name], strict=True))
    }


def run_single(trainer, stage, update):
    """Carry out one update alone on a fresh step."""
    single = Stage(stage.name, (update,), 1, 4, data=stage.data)
    for name, network in trainer.networks.items():
        network.requires_grad_(name in stage.trains)
    trainer.networks.train()
    before = snapshot(trainer.networks)
    step = Step(
        trainer.networks,
        trainer.tasks,
        trainer.experiment.method,
        toy_batch(3, 4),
        1,
        lambda current: trainer._extra_images(current, 0),
    )
    trainer._separate_steps(single, step)
    after = snapshot(trainer.networks)
    return changed(before[0], after[0]), changed(before[1], after[1])


METHODS = [
    {"refinement": refinement, "self_supervision": selfsup, "extra_images": extra}
    for refinement, selfsup, extra in [
        ("eml", "simclr", "generator"),
        ("eml_explicit", "simclr", "generator"),
        ("peoe", "simclr", "generator"),
        ("lset", "reconstruction", "generator"),
        ("eml", "reconstruction", "weak"),
        ("eml", "simclr", "frozen_generator"),
    ]
] + [{"extra_images": "composites", "extra_uses": ("labels", "refinement")}, {"gradient_into_generator": True}]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join(str(value) for value in method.values()))
def test_exactly_the_named_networks_change(tmp_path, method):
    trainer = toy_trainer(toy_experiment(method=method), tmp_path)
    trained_by_earlier = set()
    for number, stage in enumerate(trainer.stages):
        trainer.position.stage = number
        for update in stage.updates:
            if update.name in trained_by_earlier:
                continue
            parameters, buffers = run_single(trainer, stage, update)
            assert parameters == set(update.trains), f"{stage.name}/{update.name} changed {parameters}"
            assert buffers <= set(update.statistics), f"{stage.name}/{update.name} moved buffers of {buffers}"


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


def test_joint_stage_lists_algorithm_1_in_its_order(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path)
    assert [stage.name for stage in trainer.stages] == ["multi_task", "generator", "joint"]
    assert [(update.name, update.trains) for update in trainer.stages[-1].updates] == [
        ("task", ("encoder", "decoders")),
        ("refinement", ("refinement", "encoder")),
        ("self_supervision", ("projection", "encoder")),
        ("discriminator", ("discriminator",)),
        ("generator", ("generator", "embedding", "encoder")),
        ("discriminator", ("discriminator",)),
        ("generator", ("generator", "embedding", "encoder")),
        ("extra_refinement", ("encoder",)),
        ("extra_self_supervision", ("encoder",)),
    ]


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


@pytest.mark.parametrize("name", [name for name in REFINEMENT if name != "none"])
def test_refinement_strategies_differ_as_the_paper_says(name):
    strategy = REFINEMENT[name]
    (real,), (extra,) = strategy.real, strategy.extra
    assert "refinement" in real.trains
    assert ("encoder" in real.trains) == (name != "lset")
    assert ("decoders" in real.trains) == (name == "peoe")
    assert ("refinement" in extra.trains) == (name == "peoe")
    assert "encoder" in extra.trains
