"""How task losses share the encoder: by hand where two tasks are enough, then in the whole algorithm."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mgm.errors import ConfigError
from mgm.method.algorithm import TASK, joint_updates
from mgm.method.balancing import AGGREGATORS, BALANCES
from mgm.runs.checks import check_experiment
from mgm.training.checkpoint import load_checkpoint
from mgm.training.gradients import Aggregated
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from mgm.training.step import Step, StepInputs
from toys import assert_resumed_is_bitwise_uninterrupted, changed, snapshot, toy_experiment, toy_trainer, validate

NEEDS_SOLVER = ("UPGrad",)
USABLE = [name for name in AGGREGATORS if name not in NEEDS_SOLVER]


class Levels(nn.Linear):
    """An encoder whose levels are its outputs, one by one."""

    def forward(self, images):  # pyright: ignore[reportIncompatibleMethodOverride]
        return list(super().forward(images).split(1, dim=1))


class Toy:
    """Two linear tasks: on the input 1 their gradients at the encoder are ``weights[t]``."""

    def __init__(self, weights, *, deferred=False):
        weights = torch.tensor(weights)
        self.encoder = Levels(1, weights.shape[1], bias=False)
        decoders = [nn.Linear(weights.shape[1], 1, bias=False) for _ in weights]
        for decoder, row in zip(decoders, weights, strict=True):
            decoder.weight = nn.Parameter(row[None].clone())
        self.decoders = nn.ModuleList(decoders)
        batch = SimpleNamespace(images=torch.ones(1, 1))
        networks = {"encoder": self.encoder, "decoders": self.decoders}
        self.step = Step(networks, {}, StepInputs(batch, 0, 0, 0, combined=deferred))  # type: ignore[arg-type]
        levels = self.step.features("labelled")
        assert len(self.step.encoder_outputs) == (len(levels) if deferred else 0)
        features = torch.cat(levels, dim=1)
        self.losses = torch.stack([decoder(features).sum() for decoder in decoders])

    def gradient(self, aggregator):
        Aggregated(aggregator)(self.losses, self.step, ("encoder", "decoders"), False)
        return self.encoder.weight.grad[:, 0]


def aggregator(name):
    return getattr(pytest.importorskip("torchjd.aggregation"), name)()


@pytest.mark.parametrize("deferred", [False, True])
def test_mgda_is_the_shortest_vector_of_the_hull(deferred):
    # between g1 = (2, 0) and g2 = (0, 1): a g1 + (1 - a) g2 with a = |g2|^2 / (|g1|^2 + |g2|^2) = 1/5
    toy = Toy([[2.0, 0.0], [0.0, 1.0]], deferred=deferred)
    torch.testing.assert_close(toy.gradient(aggregator("MGDA")), torch.tensor([0.4, 0.8]))


@pytest.mark.parametrize("deferred", [False, True])
def test_pcgrad_projects_conflicting_gradients(deferred):
    # g1 = (1, 0), g2 = (-1, 1), g1.g2 = -1: g1 + g2 / 2 = (.5, .5) and g2 + g1 = (0, 1)
    toy = Toy([[1.0, 0.0], [-1.0, 1.0]], deferred=deferred)
    torch.testing.assert_close(toy.gradient(aggregator("PCGrad")), torch.tensor([0.5, 1.5]))


def test_decoders_get_their_plain_gradients():
    toy = Toy([[1.0, 0.0], [-1.0, 1.0]])
    toy.gradient(lambda rows: rows[0])
    for weight in toy.decoders.parameters():
        torch.testing.assert_close(weight.grad[0], toy.encoder.weight[:, 0].detach())


def test_gradients_of_other_losses_are_kept():
    toy = Toy([[2.0, 0.0], [0.0, 1.0]])
    toy.encoder.weight.grad = torch.tensor([[10.0], [20.0]])
    torch.testing.assert_close(toy.gradient(lambda rows: rows.sum(0)), torch.tensor([12.0, 21.0]))


def test_random_numbers_are_those_of_the_step():
    draws = [Toy([[1.0, 0.0], [-1.0, 1.0]]).gradient(lambda rows: torch.rand(2)) for _ in range(2)]
    assert torch.equal(*draws)


def test_unbalanced_updates_are_those_of_the_paper():
    task = joint_updates(toy_experiment().method)[0]
    assert task == TASK


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
def test_adding_up_the_gradients_is_the_sum(tmp_path, optimizer_step):
    """The rule by itself changes nothing: with the sum as aggregator, a step is that of `sum` up to rounding."""
    pytest.importorskip("torchjd")
    trained = {}
    for name in ("sum", "torchjd:MGDA"):
        trainer = toy_trainer(
            toy_experiment(
                "mt", method={"balance": name}, training={"optimizer_step": optimizer_step, "learning_rate": 1e-3}
            ),
            tmp_path / name.partition(":")[2],
        )
        stage = trainer.stages[0]
        if name != "sum":
            stage = replace(stage, updates=(replace(stage.updates[0], gradient=Aggregated(lambda rows: rows.sum(0))),))
        trainer.networks.train()
        trainer.train_step(stage, 0)
        trained[name] = {key: p.grad.clone() for key, p in trainer.networks.named_parameters() if p.grad is not None}
    assert trained["sum"].keys() == trained["torchjd:MGDA"].keys()
    for key, gradient in trained["sum"].items():
        torch.testing.assert_close(gradient, trained["torchjd:MGDA"][key], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("balance, optimizer_step", [("uncertainty", "separate"), ("torchjd:GradDrop", "combined")])
def test_killed_and_resumed_is_bitwise_uninterrupted(tmp_path, balance, optimizer_step):
    if balance.startswith("torchjd"):
        pytest.importorskip("torchjd")
    experiment = toy_experiment(
        method={"balance": balance}, training={"optimizer_step": optimizer_step, "checkpoint_every": 2}
    )
    assert_resumed_is_bitwise_uninterrupted(
        lambda folder: toy_trainer(experiment, folder, validate=validate), tmp_path, killed_after=7
    )
    if balance == "uncertainty":
        networks = load_checkpoint(tmp_path / "killed/last.pt")["networks"]
        moved = [value for key, value in networks.items() if "log_variances" in key]
        assert len(moved) == 3
        assert all(value for value in moved)


@pytest.mark.parametrize(
    "balance, optimizer_step",
    [
        ("uncertainty", "separate"),
        ("uncertainty", "combined"),
        ("torchjd:PCGrad", "combined"),
        ("torchjd:MGDA", "separate"),
    ],
)
def test_first_step_differs_only_at_the_shared_encoder(tmp_path, balance, optimizer_step):
    """After one step from the same weights on the same batch, the decoders are those of `sum`."""
    if balance.startswith("torchjd"):
        pytest.importorskip("torchjd")
    after = []
    for number, name in enumerate(("sum", balance)):
        trainer = toy_trainer(
            toy_experiment("mt", method={"balance": name}, training={"optimizer_step": optimizer_step}),
            tmp_path / str(number),
        )
        trainer.networks.train()
        before = snapshot(trainer.networks)[0]
        trainer.train_step(trainer.stages[0], 0)
        assert changed(before, snapshot(trainer.networks)[0]) == set(trainer.networks)
        after.append(trainer.networks)
    for left, right in zip(after[0]["decoders"].parameters(), after[1]["decoders"].parameters(), strict=True):
        assert torch.equal(left, right)
    same = all(torch.equal(a, b) for a, b in zip(*(n["encoder"].parameters() for n in after), strict=True))
    assert same == (balance == "uncertainty")  # whose weights are 1 in the first step


@pytest.mark.parametrize("name", USABLE)
def test_every_aggregator_trains(tmp_path, name):
    pytest.importorskip("torchjd")
    trainer = toy_trainer(toy_experiment("mt", method={"balance": f"torchjd:{name}"}, training={"steps": 2}), tmp_path)
    before = snapshot(trainer.networks)[0]
    trainer.run()
    assert changed(before, snapshot(trainer.networks)[0]) == {"encoder", "decoders"}
    assert all(torch.isfinite(parameter).all() for parameter in trainer.networks.parameters())


@pytest.mark.parametrize("balance", ["uncertainty", "torchjd:PCGrad"])
def test_task_losses_on_extra_images_are_balanced_too(tmp_path, balance):
    if balance.startswith("torchjd"):
        pytest.importorskip("torchjd")
    method = {"balance": balance, "extra_images": "composites", "extra_uses": ("labels",)}
    updates = {update.name: update for update in joint_updates(toy_experiment(method=method).method)}
    assert ("uncertainty" in updates["extra_task"].trains) == (balance == "uncertainty")
    assert type(updates["extra_task"].gradient) is type(updates["task"].gradient)
    toy_trainer(toy_experiment(method=method), tmp_path).run()


def test_the_weights_of_uncertainty_do_not_decay(tmp_path):
    for optimizer_step, name in (("separate", "task"), ("combined", "uncertainty")):
        experiment = toy_experiment(
            "mt",
            method={"balance": "uncertainty"},
            training={"weight_decay": 0.1, "optimizer_step": optimizer_step},
        )
        trainer = toy_trainer(experiment, tmp_path)
        own = {id(parameter) for parameter in trainer.networks["uncertainty"].parameters()}
        groups = trainer.optimizers[name].param_groups
        decays = {group["weight_decay"] for group in groups if id(group["params"][0]) in own}
        assert decays == {0.0}


def test_solver_that_is_missing_is_named():
    pytest.importorskip("torchjd")
    if "quadprog" in sys.modules:
        pytest.skip("quadprog is installed")
    with pytest.raises(ConfigError, match="quadprog_projector"):
        BALANCES["torchjd:UPGrad"](TASK)


def test_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    with pytest.raises(ConfigError, match=r"pip install 'mgm\[balance\]'"):
        BALANCES["torchjd:MGDA"](TASK)


@pytest.mark.parametrize(
    "balance, architecture, message",
    [
        ("pcgrad", "multi_task", "Choices: .*torchjd:PCGrad"),
        ("torchjd:Nash", "multi_task", "unknown balance"),
        ("torchjd:MGDA", "single_task", "has none"),
    ],
)
def test_settings_that_cannot_be(balance, architecture, message):
    if message == "has none":
        pytest.importorskip("torchjd")
    experiment = toy_experiment("mt", method={"balance": balance}, model={"architecture": architecture})
    with pytest.raises(ConfigError, match=message):
        check_experiment(experiment)
