"""Early stopping: a stage ends when its score no longer rises, and the schedule stays what it is."""

from functools import partial

import pytest

from mgm.training.checkpoint import Position, load_checkpoint
from mgm.training.metrics_log import read_metrics_log
from toys import assert_resumed_is_bitwise_uninterrupted, toy_experiment, toy_trainer

SETTINGS = {"steps": 20, "joint_share": 0.5, "generator_steps": 2, "validate_every": 2, "checkpoint_every": 3}


def make(folder, recipe="mt", rises_until=4, **training):
    """A trainer whose validation score rises until a step, counted over stages, and then stays."""
    trainer = toy_trainer(toy_experiment(recipe, training={**SETTINGS, "patience": 2, **training}), folder)

    def validate(model):
        score = float(min(trainer.steps_done, rises_until))
        return {"depth": {"abs_error_m": score}}, dict.fromkeys(trainer.tasks, score)

    trainer.validate = validate
    return trainer


def position(folder):
    return Position(**load_checkpoint(folder / "last.pt")["position"])


def test_each_stage_ends_after_so_many_validations_without_a_better_score(tmp_path):
    trainer = make(tmp_path, "mgm")
    trainer.run()
    # stage 1 is best at step 4 and waits for 6 and 8; joint training has a best of its own, at its step 2
    assert position(tmp_path).stopped == {"multi_task": 8, "joint": 6}
    assert [stage.steps for stage in trainer.stages_as_trained] == [8, 2, 6]
    records = [record for record in read_metrics_log(tmp_path / "metrics.jsonl") if "stopped" in record]
    assert [(record["stage"], record["step"], record["stopped"]) for record in records] == [
        ("multi_task", 8, 2),
        ("joint", 6, 2),
    ]
    assert trainer.position.best == {"all": (4.0, 12)}  # the place in the schedule: 10 + 2


def test_a_score_that_rises_is_never_stopped_and_without_patience_nothing_is(tmp_path):
    for name, settings in {"rising": {"rises_until": 99}, "off": {"patience": 0}}.items():
        make(tmp_path / name, "mt", **settings).run()
        assert position(tmp_path / name).stopped == {}


def test_the_next_stage_has_the_rates_and_batches_of_its_own_place(tmp_path):
    seen = {}
    for name, patience in {"stopped": 2, "whole": 0}.items():
        trainer = make(tmp_path / name, patience=patience, schedule="one_cycle", warm_up=0.1)
        load = trainer.loaders["labelled"]
        rates = seen[name] = {}

        def recorded(step, count, load=load, rates=rates, trainer=trainer):
            rates[step] = trainer.optimizers["task"].param_groups[0]["lr"]
            return load(step, count)

        trainer.loaders["labelled"] = recorded
        trainer.run()
    assert sorted(seen["stopped"]) == [*range(8), *range(10, 16)]
    assert all(seen["whole"][step] == rate for step, rate in seen["stopped"].items())


@pytest.mark.parametrize("warm_up, end", [(0.0, 6), (0.25, 8)])
def test_validations_of_the_warm_up_do_not_count(tmp_path, warm_up, end):
    make(tmp_path, rises_until=2, warm_up=warm_up).run()
    assert position(tmp_path).stopped["multi_task"] == end


def test_killed_and_resumed_is_bitwise_uninterrupted(tmp_path):
    assert_resumed_is_bitwise_uninterrupted(partial(make, recipe="mgm_no_generator"), tmp_path, killed_after=12)
    assert position(tmp_path / "killed").stopped == {"multi_task": 8, "joint": 6}
