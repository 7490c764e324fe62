"""The reference order has the passes that the public code of the authors makes, and our step fewer."""

from collections import Counter
from contextlib import contextmanager

import pytest
import torch

from reference_step import TRAINS, ReferenceStep, host_views
from toys import toy_batch, toy_experiment, toy_trainer

NAMES = ("encoder", "refinement", "generator", "discriminator")


@contextmanager
def counted_passes(networks, batch_size):
    """Forward and backward passes by network, in units of one minibatch."""
    passes = Counter()
    modules = {name: networks[name] for name in NAMES} | {"decoders": networks["decoders"]["depth"]}

    def hook(name):
        def count(_module, _inputs, output):
            output = output[-1] if isinstance(output, list) else output  # the coarsest level, which every loss reads
            units = len(output) / batch_size
            passes[name, "forward"] += units
            if output.requires_grad:
                output.register_hook(lambda _gradient: passes.update({(name, "backward"): units}))

        return count

    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    yield passes
    for handle in handles:
        handle.remove()


@pytest.fixture
def trainer(tmp_path):
    trainer = toy_trainer(toy_experiment(model={"identities": "off"}, training={"gradients_every": 0}), tmp_path)
    trainer.position.stage = 2
    trainer.networks.train()
    return trainer


def test_reference_has_the_passes_of_the_public_code(trainer):
    batch = toy_batch(0, 4)
    step = ReferenceStep(trainer.networks, trainer.tasks, host_views)
    with counted_passes(trainer.networks, 4) as passes:
        losses = step(batch, 0)
    assert {name: (passes[name, "forward"], passes[name, "backward"]) for name in (*NAMES, "decoders")} == {
        "encoder": (12, 9),
        "refinement": (2, 2),
        "generator": (5, 2),
        "discriminator": (6, 6),
        "decoders": (3, 3),
    }
    assert losses.keys() == TRAINS.keys()
    assert all(torch.isfinite(torch.tensor(loss)) for loss in losses.values())


def test_our_step_has_fewer(trainer):
    with counted_passes(trainer.networks, 4) as passes:
        trainer.train_step(trainer.stages[2], 0)
    assert {name: (passes[name, "forward"], passes[name, "backward"]) for name in (*NAMES, "decoders")} == {
        # E(x): tasks, scene, 2 views, 2 latents, latent of x~; E(x~): scene, 2 views
        "encoder": (10, 9),
        "refinement": (2, 2),
        # the fakes of D's loss serve G's too
        "generator": (3, 2),
        "discriminator": (6, 6),
        "decoders": (3, 3),
    }


def test_every_loss_steps_its_networks_alone(trainer):
    step = ReferenceStep(trainer.networks, trainer.tasks, host_views)
    for loss, names in TRAINS.items():
        stepped = {id(p) for group in step.optimizers[loss].param_groups for p in group["params"]}
        assert stepped == {id(p) for name in names for p in trainer.networks[name].parameters()}


def test_host_views_are_views():
    images = toy_batch(0, 6).images
    first, second = host_views(images, 3)
    assert first.shape == second.shape == images.shape
    assert -1 <= min(first.min(), second.min()) < -0.5
    assert 0.5 < max(first.max(), second.max()) <= 1
    assert not torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(host_views(images, 3), (first, second), strict=True))
    assert not torch.equal(host_views(images, 4)[0], first)
