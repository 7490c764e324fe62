"""Every recipe and every architecture trains in all stages."""

from dataclasses import replace

import pytest

from mgm.method.algorithm import stages
from mgm.method.recipes import RECIPES, baseline_of, make_experiment
from mgm.networks.decoders import DECODERS
from mgm.training.optimizer_steps import OPTIMIZER_STEPS
from toys import changed, snapshot, toy_batch, toy_experiment, toy_trainer, with_runs

QUICK = ("mt", "st", "mgm", "mgm_no_generator")
MODES, KINDS = list(OPTIMIZER_STEPS), list(DECODERS)
CASES = [(name, mode, {"decoder": "pyramid"}) for name in QUICK for mode in OPTIMIZER_STEPS] + [
    pytest.param(name, MODES[number % 2], {"decoder": KINDS[number // 2 % 2]}, marks=pytest.mark.slow)
    for number, name in enumerate(name for name in RECIPES if name not in QUICK)
]
"""Both ways of a step with the first, one or the other with all others, and with either kind of decoders."""
CASES += [pytest.param("mgm", "combined", {"architecture": "cross_stitch_channels"}, marks=pytest.mark.slow)]


@pytest.mark.parametrize("pretrain_steps, on_photographs", [(0, 5600), (100, 2900)])
def test_the_control_of_rooms_first_spends_their_steps_on_photographs(pretrain_steps, on_photographs):
    experiment = make_experiment("mt_rooms", "small", "photos")
    experiment = replace(experiment, training=replace(experiment.training, pretrain_steps=pretrain_steps))
    control = stages(baseline_of(experiment))
    assert [stage.data for stage in control] == ["labelled", "labelled"]
    assert sum(stage.steps for stage in control) == on_photographs


def test_baselines_keep_what_is_not_in_question():
    """Pre-training in a run of the whole method, and the budget of a run whose pre-training is switched off."""
    for recipe, pretrain in (("mgm", "rooms"), ("mt_rooms", "")):
        experiment = make_experiment(recipe, "small", "photos")
        experiment = replace(experiment, data=replace(experiment.data, pretrain=pretrain))
        baseline = baseline_of(experiment)
        assert (baseline.data, baseline.training) == (experiment.data, experiment.training)


@pytest.mark.parametrize("recipe, optimizer_step, model", CASES)
def test_a_step_of_every_stage_trains_what_it_names(tmp_path, recipe, optimizer_step, model):
    # longer than the warm-up of AdaShare's policy, shorter than until its decisions are fixed
    training = {"optimizer_step": optimizer_step, "steps": 4, "joint_share": 0.75, "generator_steps": 1}
    experiment = with_runs(toy_experiment(recipe, training=training, model=model))
    trainer = toy_trainer(
        experiment, tmp_path, annotate=lambda extra: replace(extra, targets=toy_batch(1, len(extra)).targets)
    )
    for number, stage in enumerate(trainer.stages):
        trainer.position.stage, trainer.position.step = number, 0
        before = snapshot(trainer.networks)[0]
        trainer._run_stage(stage)
        waits = {"policy"} if stage.name == "multi_task" else set()
        moved = changed(before, snapshot(trainer.networks)[0])
        assert set(stage.trains) - waits <= moved <= set(stage.trains), stage.name
    assert all(value.isfinite().all() for value in trainer.networks.state_dict().values() if value.is_floating_point())
