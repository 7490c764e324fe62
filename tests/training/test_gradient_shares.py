"""What losses do to the encoder is measured without influence on the training."""

import json
from itertools import cycle

import pytest
import torch

from mgm.report.history import read_history
from mgm.training.checkpoint import load_checkpoint
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from toys import METHODS, assert_same, toy_experiment, toy_trainer

SHORT = {"steps": 4, "joint_share": 0.5, "generator_steps": 1}


def trained(folder, method=None, **training):
    trainer = toy_trainer(toy_experiment(method=method, training={**SHORT, **training}), folder)
    trainer.run()
    return trainer


def measured(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if "gradients" in record]


@pytest.mark.parametrize(
    "method, optimizer_step",
    [*zip((METHODS[0], METHODS[3], METHODS[6], METHODS[7]), cycle(OPTIMIZER_STEPS)), (METHODS[0], "combined")],
    ids=str,
)
def test_measuring_changes_nothing(tmp_path, method, optimizer_step):
    for every in (0, 1):
        trained(tmp_path / str(every), method, optimizer_step=optimizer_step, gradients_every=every)
    for name in ("last.pt", "best.pt"):
        states = [load_checkpoint(tmp_path / str(every) / name) for every in (0, 1)]
        for state in states:
            state.pop("position", None)  # its size of the metrics log
        assert_same(*states)
    assert not measured(tmp_path / "0")
    assert [record["step"] for record in measured(tmp_path / "1")] == [1, 2]


@pytest.mark.parametrize("optimizer_step", OPTIMIZER_STEPS)
def test_figures_are_those_of_the_gradients_that_train(tmp_path, optimizer_step):
    """With only the tasks and SimCLR: the sum of both gradients is what the encoder gets."""
    method = {"refinement": "none", "extra_images": "none"}
    experiment = toy_experiment(
        method=method, training={**SHORT, "optimizer_step": optimizer_step, "gradients_every": 1}
    )
    trainer = toy_trainer(experiment, tmp_path)
    trainer.enter_stage(len(trainer.stages) - 1)
    norms = {}
    original = trainer.optimizer_step.apply

    def apply(optimizer):
        encoder = [p.grad for p in trainer.networks["encoder"].parameters()]
        owned = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if any(id(p) in owned for p in trainer.networks["encoder"].parameters()):
            norms[len(norms)] = torch.cat([grad.flatten() for grad in encoder]).norm().item()
        original(optimizer)

    trainer.optimizer_step.apply = apply
    trainer.train_step(trainer.stages[-1], 0)
    figures = trainer.optimizer_step.shares.figures()
    task, simclr, auxiliary = (figures[name] for name in ("task", "self_supervision", "auxiliary"))
    assert task["cosine"] == pytest.approx(1)
    assert auxiliary == {**simclr, "ratio": pytest.approx(simclr["norm"] / task["norm"])}
    if optimizer_step == "separate":
        assert list(norms.values()) == pytest.approx([task["norm"], simclr["norm"]], rel=1e-4)
    else:
        cosine = simclr["cosine"] * task["norm"] * simclr["norm"]
        total = (task["norm"] ** 2 + simclr["norm"] ** 2 + 2 * cosine) ** 0.5
        assert list(norms.values()) == pytest.approx([total], rel=1e-4)


def test_a_stage_of_one_loss_is_not_measured_and_the_curve_counts_updates_of_m(tmp_path):
    trained(tmp_path, gradients_every=1)
    assert {record["stage"] for record in measured(tmp_path)} == {"joint"}
    history = read_history(tmp_path / "metrics.jsonl")
    assert history.gradients["norm"]["task"][0] == [3, 4]
    assert set(history.gradients) == {"norm", "cosine", "ratio"}
    assert {"refinement", "self_supervision", "generator", "extra_refinement"} <= history.gradients["cosine"].keys()
