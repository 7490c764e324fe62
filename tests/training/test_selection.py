"""Which model of a run is its best."""

import math

import pytest
import torch

from mgm.training.checkpoint import load_checkpoint
from mgm.training.evaluate import mean_gain
from mgm.training.selection import mean_skill, task_skills
from toys import toy_experiment, toy_tasks, toy_trainer

TASKS = toy_tasks()


def scores(miou=0.2, depth=0.6, angle=30.0):
    return {"semantic": {"miou": miou}, "depth": {"abs_error_m": depth}, "normal": {"angle_deg": angle}}


CONSTANT = scores(0.007, 0.9, 39.0)


def skill(found, constant=CONSTANT):
    return mean_skill(task_skills(found, constant, TASKS))


@pytest.mark.parametrize("better", [scores(miou=0.202), scores(depth=0.6 / 1.01), scores(angle=30 / 1.01)])
def test_one_per_cent_counts_alike_in_every_task(better):
    assert skill(better) - skill(scores()) == pytest.approx(math.log(1.01) / 3)


@pytest.mark.parametrize("constant", [CONSTANT, scores(0.05, 0.5, 50.0)])
def test_the_difference_of_two_models_is_the_mean_relative_gain_whatever_the_constant_predictor_scores(constant):
    one, other = scores(0.204, 0.594, 29.9), scores()
    assert skill(one, constant) - skill(other, constant) == pytest.approx(mean_gain(one, other, TASKS), abs=3e-4)


def test_the_constant_predictor_has_no_skill_and_an_unknown_task_does_not_count():
    assert skill(CONSTANT) == 0
    assert mean_skill(task_skills(scores(miou=math.nan), CONSTANT, TASKS)) == pytest.approx(
        (math.log(0.9 / 0.6) + math.log(39 / 30)) / 2
    )
    assert skill(scores(miou=0.0)) < skill(CONSTANT)


def trained(recipe, folder, sequence):
    """Trains while the validation gives the skills of a sequence; the weights of the model at each of them."""
    seen = []

    def validate(model):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return {}, dict(zip(TASKS, sequence[len(seen) - 1], strict=True))

    training = {"steps": len(sequence) * 2, "joint_share": 0.5, "validate_every": 2, "generator_steps": 1}
    trainer = toy_trainer(toy_experiment(recipe, training=training), folder, validate=validate)
    trainer.run()
    return trainer, seen, load_checkpoint(folder / "best.pt")["model"]


# two validations before the last stage, which count for nothing, and four in it
SEQUENCE = [(9, 9, 9), (9, 9, 9), (9, 9, 9), (1, 3, 2), (3, 2, 2.5), (2, 1, 2)]


def test_each_network_of_the_single_task_baseline_is_from_its_own_best_step(tmp_path):
    trainer, seen, best = trained("st", tmp_path, SEQUENCE)
    assert {task: step for task, (_, step) in trainer.position.best.items()} == {
        "semantic": 10,
        "depth": 8,
        "normal": 10,
    }
    parts = trainer.networks.model.own_weights
    assert all(any(name.startswith(prefixes) for prefixes in parts.values()) for name in best)
    for task, number in (("semantic", 4), ("depth", 3), ("normal", 4)):
        for name, value in best.items():
            if name.startswith(parts[task]):
                assert torch.equal(value, seen[number][name]), name


def test_a_shared_model_is_chosen_as_a_whole(tmp_path):
    trainer, seen, best = trained("mt", tmp_path, SEQUENCE)
    assert trainer.position.best == {"all": (pytest.approx(2.5), 10)}
    assert all(torch.equal(value, seen[4][name]) for name, value in best.items())


def test_the_best_of_the_last_stage_is_the_model_and_an_earlier_one_is_kept_beside_it(tmp_path):
    trainer, seen, best = trained("mgm_no_generator", tmp_path, SEQUENCE)
    assert trainer.position.earlier["all"][0] > trainer.position.best["all"][0]
    earlier = load_checkpoint(tmp_path / "best_earlier.pt")["model"]
    assert all(torch.equal(value, seen[0][name]) for name, value in earlier.items())
    assert all(torch.equal(value, seen[4][name]) for name, value in best.items())


def test_a_task_without_labels_in_the_validation_set_goes_by_the_others(tmp_path):
    nan = math.nan
    trainer, seen, best = trained("st", tmp_path, [*SEQUENCE[:3], (nan, 1, 1), (nan, 2, 2), (nan, 1, 2)])
    assert trainer.position.best["semantic"] == (2, 10)
    assert all(torch.equal(value, seen[4][name]) for name, value in best.items())
