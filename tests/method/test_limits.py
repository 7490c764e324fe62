"""Limit cases: where a recipe reduces to another, it does so bit for bit."""

from dataclasses import replace
from functools import cache

import pytest
import torch

from mgm.networks.decoders import DECODERS
from mgm.training.step import StepInputs
from toys import toy_batch, toy_experiment, toy_tasks, toy_trainer, with_runs

ZERO = {"refinement_weight": 0.0, "self_supervision_weight": 0.0, "adversarial_weight": 0.0}


def weights(trainer):
    return [p.detach().clone() for p in trainer.networks.model.state_dict().values()]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """Way of a step and decoder -> weights of the multi-task baseline before and after its training."""

    @cache
    def trained(optimizer_step, decoder):
        settings = limit_settings(optimizer_step, decoder)
        trainer = toy_trainer(toy_experiment("mt", **settings), tmp_path_factory.mktemp("mt"))
        before = weights(trainer)
        trainer.run()
        return before, weights(trainer)

    return trained


def limit_settings(optimizer_step, decoder):
    return {
        "training": {"optimizer_step": optimizer_step, "schedule": "one_cycle", "warm_up": 0.3},
        "model": {"decoder": decoder},
    }


ZERO_CASES = [
    ("mgm", "separate", "paper"),
    ("mgm", "combined", "paper"),
    ("mgm", "separate", "pyramid"),
    ("mgm_no_generator", "combined", "pyramid"),
    ("mgm_real", "separate", "paper"),
    ("mgm_not_joint", "combined", "paper"),
    ("mgm_combine", "separate", "paper"),
]


@pytest.mark.parametrize("recipe, optimizer_step, decoder", ZERO_CASES)
def test_zero_weights_equal_the_multi_task_baseline(tmp_path, baseline, recipe, optimizer_step, decoder):
    before, after = baseline(optimizer_step, decoder)
    settings = limit_settings(optimizer_step, decoder)
    full = toy_trainer(with_runs(toy_experiment(recipe, method=ZERO, **settings)), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(full), strict=True))
    full.run()
    assert full.steps_done == 6
    for a, b in zip(after, weights(full), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0 if optimizer_step == "separate" else 1e-6)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("architecture", ["multi_task", "single_task"])
def test_combined_gradient_is_the_sum_of_the_separate_ones(tmp_path, architecture, decoder):
    """One backward pass through the encoder gives what the losses give one by one, at the same weights."""
    training = {"optimizer_step": "combined", "statistics": "labelled"}
    model = {"architecture": architecture, "decoder": decoder}
    trainer = toy_trainer(toy_experiment(training=training, model=model), tmp_path)
    stage = trainer.stages[-1]
    trainer.networks.train()

    def make_step(combined):
        return trainer.make_step(StepInputs(toy_batch(5, 4), 0, 9, 0, combined=combined))

    captured = {}
    trainer.optimizer_step.apply = lambda optimizer: captured.update(
        {id(p): p.grad.clone() for group in optimizer.param_groups for p in group["params"] if p.grad is not None}
    )
    state = {key: value.clone() for key, value in trainer.networks.state_dict().items()}
    trainer.optimizer_step(stage, [make_step(True)])
    combined = dict(captured)

    trainer.networks.load_state_dict(state)
    trainer.networks.zero_grad(set_to_none=True)
    step = make_step(False)
    for update in stage.updates:
        loss = trainer.optimizer_step.loss(update, step)
        parameters = [p for name in update.trains for p in trainer.networks[name].parameters()]
        loss.backward(inputs=parameters, retain_graph=True)
    for name, parameter in trainer.networks.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(combined[id(parameter)], parameter.grad, rtol=1e-3, atol=1e-5)


def run(recipe, folder, *, tasks=None, **settings):
    trainer = toy_trainer(toy_experiment(recipe, **settings), folder, tasks=tasks)
    trainer.run()
    return trainer.networks.model


GROUPED = ("", ("mt", "st"))
GROUPED_MGM = ("mgm_", ("mgm", "st_mgm"))


@pytest.mark.parametrize(
    "names, optimizer_step, decoder",
    [
        (GROUPED, "separate", "paper"),
        (GROUPED, "combined", "pyramid"),
        pytest.param(GROUPED_MGM, "separate", "pyramid", marks=pytest.mark.slow),
        pytest.param(GROUPED_MGM, "combined", "paper", marks=pytest.mark.slow),
    ],
)
def test_training_of_one_group_is_multi_task_and_of_groups_of_one_single_task(tmp_path, names, optimizer_step, decoder):
    prefix, limit = names
    training = {"optimizer_step": optimizer_step, "steps": 4, "generator_steps": 1}
    for name, groups in zip(limit, [("semantic+depth+normal",), ("semantic", "depth", "normal")], strict=True):
        grouped = run(
            f"{prefix}task_grouping",
            tmp_path / f"{name}-groups",
            model={"groups": groups, "decoder": decoder},
            training=training,
        )
        model = {"decoder": decoder} | ({"architecture": "single_task"} if name == "st_mgm" else {})
        expected = run(name.removeprefix("st_"), tmp_path / name, model=model, training=training)
        for a, b in zip(grouped.state_dict().values(), expected.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_networks_of_overlapping_groups_become_what_each_becomes_alone(tmp_path):
    """Auxiliary tasks train their network as if it were a multi-task network on its own."""
    grouped = toy_trainer(
        toy_experiment("task_grouping", model={"groups": ("semantic+depth", "normal/depth")}), tmp_path / "both"
    )
    parts = {
        "semantic+depth": {"semantic": "semantic", "depth": "depth"},
        "normal": {"normal": "normal", "depth": "depth/normal"},
    }
    ours = grouped.networks.model.get_submodule
    alone = {}
    for number, (group, heads) in enumerate(parts.items()):
        tasks = {task: grouped.tasks[task] for task in heads}
        alone[group] = toy_trainer(toy_experiment("mt"), tmp_path / group.replace("+", "_"), tasks=tasks)
        model = alone[group].networks.model
        model.encoder.load_state_dict(ours(f"encoder.encoders.{group}").state_dict())
        for task, head in heads.items():
            model.decoders[task].load_state_dict(ours(f"decoders.{number}.{head}").state_dict())
    for trainer in (grouped, *alone.values()):
        trainer.run()
    for number, (group, heads) in enumerate(parts.items()):
        theirs = alone[group].networks.model
        pairs = [(ours(f"encoder.encoders.{group}"), theirs.encoder)]
        pairs += [(ours(f"decoders.{number}.{head}"), theirs.decoders[task]) for task, head in heads.items()]
        for a, b in pairs:
            for left, right in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
                torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_multi_task_training_of_one_task_is_single_task_training(tmp_path):
    """So the baseline of MGM on a single task, called mt, is the single-task baseline."""
    tasks = {"depth": toy_tasks()["depth"]}
    states = [run(recipe, tmp_path / recipe, tasks=tasks).state_dict().values() for recipe in ("mt", "st")]
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def annotate(extra):
    return replace(extra, targets=toy_batch(11, len(extra)).targets)


@pytest.mark.parametrize("optimizer_step", ["separate", "combined"])
def test_annotated_images_of_no_weight_leave_single_task_training(tmp_path, optimizer_step):
    runs = {}
    for weight in (0.0, 1.0):
        training = {"optimizer_step": optimizer_step}
        experiment = with_runs(toy_experiment("st_synthesized", method={"label_weight": weight}, training=training))
        runs[weight] = toy_trainer(experiment, tmp_path / str(weight), annotate=annotate)
        runs[weight].run()
    single = toy_trainer(toy_experiment("st", training={"optimizer_step": optimizer_step}), tmp_path / "st")
    single.run()
    for a, b in zip(weights(single), weights(runs[0.0]), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(weights(single), weights(runs[1.0]), strict=True))
