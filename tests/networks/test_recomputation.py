"""Blocks that are computed again give bitwise what they give when everything is kept, for less memory."""

import copy
from dataclasses import replace

import pytest
import torch

from counting import SavedTensors
from mgm.networks.blocks import BasicBlock
from mgm.networks.generators import GENERATORS
from mgm.networks.recomputation import recompute_blocks
from mgm.training.checkpoint import load_checkpoint
from toys import toy_batch, toy_experiment, toy_trainer


def trained(folder, *, recompute: bool, **training):
    chosen = {"batch_size": 4, "checkpoint_activations": recompute, "ema": 0.9, "steps": 4, "generator_steps": 2}
    toy_trainer(toy_experiment(training={**chosen, **training}), folder).run()
    return load_checkpoint(folder / "last.pt")


@pytest.mark.parametrize("optimizer_step", [pytest.param("separate", marks=pytest.mark.slow), "combined"])
def test_a_run_ends_bitwise_where_one_that_keeps_everything_does(tmp_path, optimizer_step):
    """Weights, running statistics, power iterations and the moving average, through all three stages."""
    kept, again = (
        trained(tmp_path / str(recompute), recompute=recompute, optimizer_step=optimizer_step)
        for recompute in (False, True)
    )
    assert kept["networks"].keys() == again["networks"].keys()
    for name, value in kept["networks"].items():
        assert torch.equal(again["networks"][name], value), name
    for name, value in kept["average"]["model"].items():
        assert torch.equal(again["average"]["model"][name], value), name


def test_estimates_that_have_moved_on_do_not_alter_the_gradient():
    """The discriminator runs twice, its power iteration moving, before the first pass is differentiated."""
    torch.manual_seed(0)
    kept = GENERATORS["sagan"].discriminator(32, 3, 4).train()
    again = copy.deepcopy(kept)
    assert recompute_blocks(again) == 5
    images, labels = torch.randn(2, 3, 32, 32), torch.eye(3)[:2]
    for network in (kept, again):
        first = network(images, labels).sum()
        network(images * 2, labels)
        first.backward()
    for (name, a), (_, b) in zip(kept.named_parameters(), again.named_parameters(), strict=True):
        assert a.grad.tolist() == b.grad.tolist(), name
    for a, b in zip(kept.buffers(), again.buffers(), strict=True):
        assert torch.equal(a, b)


def test_a_copy_of_a_network_computes_with_its_own_weights():
    block = BasicBlock(2, 2)
    recompute_blocks(block)
    twin = copy.deepcopy(block)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    images = torch.rand(1, 2, 4, 4)
    assert torch.equal(twin(images), images)
    assert not torch.equal(block(images), images)


def test_nothing_is_kept_without_gradients():
    block = BasicBlock(2, 2).eval()
    expected = block(torch.ones(1, 2, 4, 4))
    recompute_blocks(block)
    with torch.no_grad():
        assert torch.equal(block(torch.ones(1, 2, 4, 4)), expected)


@pytest.mark.parametrize("size", [32, pytest.param(256, marks=pytest.mark.slow)])
def test_memory_falls(tmp_path, size):
    """At 256 px to less than half."""
    peaks = {}
    for recompute in (False, True):
        experiment = toy_experiment(
            training={"batch_size": 2, "checkpoint_activations": recompute}, model={"widths": (16, 16, 16, 16)}
        )
        experiment = replace(experiment, data=replace(experiment.data, image_size=size))
        trainer = toy_trainer(experiment, tmp_path / str(recompute))
        trainer.loaders["labelled"] = lambda step, count: toy_batch(0, count, size)
        trainer.networks.train()
        trainer.position.stage = len(trainer.stages) - 1
        with SavedTensors() as saved:
            trainer.train_step(trainer.stages[-1], 0)
        peaks[recompute] = saved.peak_bytes
    assert peaks[True] < (0.7 if size == 32 else 0.5) * peaks[False]
