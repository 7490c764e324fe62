"""Which optimiser owns what, with which rate and decay."""

import pytest
import torch

from mgm.method.algorithm import joint_updates
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from mgm.training.optimizers import optimizer_names
from toys import METHODS, toy_experiment, toy_trainer


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join(str(value) for value in method.values()))
def test_every_trained_network_has_an_optimiser(optimizer_step, method):
    updates = joint_updates(toy_experiment(method=method).method)
    stepped = {network for networks in optimizer_names(updates, optimizer_step).values() for network in networks}
    assert stepped == {network for update in updates for network in update.trains}


def groups_of(trainer):
    """Update, network and parameter group, of all optimisers."""
    owners = {id(p): name for name, network in trainer.networks.items() for p in network.parameters()}
    for update, optimizer in trainer.optimizers.items():
        for group in optimizer.param_groups:
            yield update, owners[id(group["params"][0])], group


def test_every_network_has_the_papers_rate(tmp_path):
    trainer = toy_trainer(toy_experiment(), tmp_path)
    assert {name: group["lr"] for _, name, group in groups_of(trainer)} == {
        "encoder": 1e-3,
        "decoders": 1e-3,
        "refinement": 1e-3,
        "projection": 1e-3,
        "generator": 1e-4,
        "embedding": 1e-4,
        "discriminator": 4e-4,
    }


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize(
    "optimizer_step, updates",
    [("separate", ("task", "task")), ("combined", ("encoder", "decoders"))],
)
def test_weight_decay_is_of_the_model_alone_and_in_the_task_update_alone(tmp_path, optimizer, optimizer_step, updates):
    """AdamW's own default, 0.01, reaches nothing."""
    for decay in (0.0, 0.1):
        training = {"weight_decay": decay, "optimizer": optimizer, "optimizer_step": optimizer_step}
        trainer = toy_trainer(toy_experiment(training=training), tmp_path / str(decay))
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
        assert {type(one) for one in trainer.optimizers.values()} == {kind}
        decaying = {(update, name): group["weight_decay"] for update, name, group in groups_of(trainer)}
        model = dict.fromkeys(zip(updates, ("encoder", "decoders"), strict=True), decay)
        # two optimisers that own the encoder must not both shrink it
        assert {key: value for key, value in decaying.items() if value} == (model if decay else {})


def test_adamw_shrinks_weights_apart_from_the_gradient(tmp_path):
    """One task update: that of Adam without decay, after the weights have been multiplied by ``1 - rate * decay``."""

    def one_update(name, **training):
        trainer = toy_trainer(toy_experiment("mt", training=training), tmp_path / name)
        begun = {key: value.clone() for key, value in trainer.networks.named_parameters()}
        trainer.networks.train()
        trainer.train_step(trainer.stages[0], 0)
        return begun, dict(trainer.networks.named_parameters()), trainer.config.learning_rate

    _, plain, rate = one_update("plain", weight_decay=0.0, optimizer="adam")
    begun, decoupled, _ = one_update("decoupled", weight_decay=0.5, optimizer="adamw")
    for key, start in begun.items():
        torch.testing.assert_close(decoupled[key], plain[key] - rate * 0.5 * start, rtol=1e-5, atol=1e-7)
