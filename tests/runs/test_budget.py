"""A budget in minutes becomes steps."""

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, local
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from mgm.errors import ConfigError
from mgm.method.algorithm import stages
from mgm.method.recipes import make_experiment
from mgm.runs import budget
from mgm.runs.budget import LEAST_STEPS, RESERVE, Cost, fit_to_minutes, measure
from mgm.training.updates import Stage
from synthetic import synthetic_trainer

pytestmark = pytest.mark.usefixtures("without_pictures")
COST = Cost(
    {"pretrain": 0.2, "multi_task": 0.2, "continued": 0.2, "generator": 1.5, "joint": 0.7},
    validation_s=2.0,
    final_s=10.0,
)
TINY = ["--preset", "tiny", "--num-images", 80]


def seconds(experiment):
    """What a run takes if every step takes what COST says, counted step by step."""
    total, every = COST.final_s, experiment.training.validate_every
    for stage in stages(experiment):
        for step in range(1, stage.steps + 1):
            total += COST.step_s[stage.name]
            if stage.data == "labelled" and stage.trains_model and (step % every == 0 or step == stage.steps):
                total += COST.validation_s
    return total


@pytest.mark.parametrize("recipe", ["mt", "mt_rooms", "mgm", "mgm_no_generator"])
@pytest.mark.parametrize("minutes", [3.0, 30.0, 200.0])
def test_the_fitted_run_fills_the_time_and_no_more(recipe, minutes):
    fitted = fit_to_minutes(make_experiment(recipe, "quick"), minutes, COST)
    usable = 60 * minutes * (1 - RESERVE)
    assert 0.9 * usable < seconds(fitted) <= usable * (1 + 1e-9)


def test_proportions_of_the_stages_stay():
    experiment = make_experiment("mgm", "quick")
    fitted = fit_to_minutes(experiment, 60, COST)
    factor = fitted.training.steps / experiment.training.steps
    assert fitted.training.generator_steps == pytest.approx(factor * experiment.training.generator_steps, abs=1)
    assert fitted.training.validate_every == pytest.approx(factor * experiment.training.validate_every, abs=1)
    unchanged = ("generator_steps", "steps", "validate_every", "checkpoint_every", "pretrain_steps")
    assert replace(fitted.training, **{name: getattr(experiment.training, name) for name in unchanged}) == (
        experiment.training
    )


def test_too_little_time_is_refused_with_what_is_needed():
    experiment = make_experiment("mgm", "quick")
    with pytest.raises(
        ConfigError, match=r"minutes is 0\.1, but 20 steps of mgm with their evaluation take \d"
    ) as error:
        fit_to_minutes(experiment, 0.1, COST)
    needed = float(str(error.value).partition("take ")[2].split()[0])
    assert fit_to_minutes(experiment, needed, COST).training.steps >= LEAST_STEPS


@pytest.mark.parametrize("recipe", ["mt", "mgm"])
def test_every_stage_is_measured(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "MEASURED_S", 0.01)
    trainer = synthetic_trainer(make_experiment(recipe, "tiny"), tmp_path)
    cost = measure(trainer, 2.0)
    assert cost.step_s.keys() == {stage.name for stage in trainer.stages}
    assert all(math.isfinite(value) and value > 0 for value in cost.step_s.values())
    assert cost.final_s == pytest.approx(2 * cost.validation_s)


def test_processes_of_different_speed_measure_equally_many_steps(monkeypatch):
    """Each process is a thread, and the sum over processes waits for both, as a collective operation does."""
    both, spent = Barrier(2, timeout=20), [0.0, 0.0]

    def process(number):
        def summed(seconds):
            spent[number] = float(seconds)
            both.wait()
            total = torch.tensor(sum(spent))
            both.wait()
            return total

        steps.summed = summed

        def train_step(stage, index):
            time.sleep(0.002 * (1 + 4 * number))
            counts[number] += 1
            return {}

        trainer: Any = SimpleNamespace(
            position=SimpleNamespace(step=0), train_step=train_step, fabric=SimpleNamespace(device="cpu")
        )
        return budget._step_s(trainer, Stage("joint", (), 1, 1), 0, 1)

    counts, steps = [0, 0], local()
    monkeypatch.setattr(budget, "MEASURED_S", 0.1)
    monkeypatch.setattr(budget, "world_size", lambda: 2)
    monkeypatch.setattr(budget, "global_sum", lambda seconds: steps.summed(seconds))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(process, range(2))
    assert counts[0] == counts[1] > 6
    assert first == second > 0.006


@pytest.mark.slow
def test_steps_are_written_down_and_each_recipe_gets_its_own(mgm, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "LEAST_STEPS", 2)

    def measured(trainer, num_final):
        names = [stage.name for stage in trainer.stages]
        return Cost(dict.fromkeys(names, 2.0 if "generator" in names else 1.0), 0.1, 0.1)

    monkeypatch.setattr("mgm.runs.train.measure", measured)
    run = tmp_path / "run"
    code, _, err = mgm("train", "mgm", *TINY, "--minutes", 0.3, "--out", run)
    assert code == 0, err
    assert "0.3 minutes are these steps here" in err
    steps = {}
    for name, folder in (("mgm", run), ("mt", run / "baseline")):
        training = yaml.safe_load((folder / "config.yaml").read_text())["training"]
        steps[name] = training["steps"]
        assert json.loads((folder / "result.json").read_text())["steps"] == training["steps"]
    assert steps["mt"] > 1.5 * steps["mgm"]


def test_a_resumed_run_keeps_its_steps(mgm, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "LEAST_STEPS", 2)
    monkeypatch.setattr(
        "mgm.runs.train.measure", lambda trainer, num: Cost({"multi_task": 1.0, "continued": 1.0}, 0.1, 0.1)
    )
    run = tmp_path / "run"
    mgm.done("train", "mt", *TINY, "--minutes", 0.1, "--out", run)
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").unlink()
    (run / "checkpoints" / "last.pt").unlink()
    mgm.done("train", "--resume", run)
    again = json.loads((run / "result.json").read_text())
    assert (again["steps"], again["test"]) == (result["steps"], result["test"])
