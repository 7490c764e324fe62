from dataclasses import replace
from pathlib import Path

import pytest

from mgm.errors import ConfigError
from mgm.experiments.catalogue import STUDIES
from mgm.experiments.plans import changed_fields, make_plan, train_arguments, with_options
from mgm.experiments.studies import MGM, MT, ST, Need, Row, Setting, Study, options
from mgm.method.recipes import make_experiment

TASKS = ("semantic", "depth")


HALF = (Setting("50 %", options(fraction=0.5)),)


def study(*rows: Row, settings=HALF, **more) -> Study:
    return Study("Table 0", "a test", lambda _: rows, settings, tasks=TASKS, **more)


def plan(of: Study, seeds=(0,), offered=TASKS, **more):
    return make_plan(
        "test", of, lambda recipe: make_experiment(recipe, "tiny"), data="rooms", offered=offered, seeds=seeds, **more
    )


def test_equal_settings_are_one_trial_and_any_difference_another() -> None:
    again = replace(MT, title="MT again")
    cells = plan(study(MT, again, replace(MT, title="wider", options=options(depth=18))), seeds=(0, 1)).cells
    names = {(cell.row.title, cell.seed): cell.trial.name for cell in cells}
    assert names["MT", 0] == names["MT again", 0]
    assert len(set(names.values())) == 4
    assert names["MT", 0].startswith("mt-50pc-s0-")


def test_tasks_of_the_data_set_are_part_of_every_study_that_is_not_about_certain_ones() -> None:
    own = {"height": {"unit": "m", "range": (0, 40)}}
    offered = (*TASKS, "height")
    made = plan(study(MT), offered=offered, own_tasks=own)
    assert made.tasks == offered
    assert made.cells[0].trial.experiment.data.tasks == offered
    assert made.kinds["height"].unit == "m"
    singles = plan(STUDIES["table15"], offered=offered, own_tasks=own)
    titles = [row.title for row in singles.rows if row.title.startswith("MGM-")]
    assert titles == ["MGM-SS", "MGM-DE", "MGM-height", "MGM-Combine"]
    assert plan(study(MT), offered=("height",), own_tasks=own).tasks == ("height",)
    certain = replace(study(MT), required=TASKS[:1])
    assert plan(certain, offered=offered, own_tasks=own).tasks == TASKS


def test_every_seed_has_its_own_split_and_nothing_else_changes() -> None:
    first, second = (cell.trial.experiment for cell in plan(study(MT), seeds=(0, 7)).cells)
    assert (first.data.split_seed, second.data.split_seed) == (0, 7)
    assert replace(first, seed=7, data=replace(first.data, split_seed=7)) == second


def test_all_seeds_may_have_the_same_split() -> None:
    first, second = (cell.trial.experiment for cell in plan(study(MT), seeds=(0, 7), same_split=True).cells)
    assert replace(first, seed=7) == second


def test_what_is_built_upon_has_the_split_of_its_trial() -> None:
    row = Row("upon", "mgm", needs=(Need((MT,), lambda runs: {}),))
    (cell,) = plan(study(row), seeds=(3,)).cells
    assert {trial.experiment.data.split_seed for trial in (cell.trial, *cell.trial.required)} == {3}


def test_a_row_wins_over_the_setting_and_the_study_over_the_base() -> None:
    row = Row("all labels", "st", options(fraction=1.0))
    adapted = study(row, ST, adapt=lambda experiment, data: options(image_size=2 * experiment.data.image_size))
    one, other = (cell.trial.experiment for cell in plan(adapted).cells)
    assert (one.data.fraction, other.data.fraction) == (1.0, 0.5)
    assert one.data.image_size == 64
    assert one.data.tasks == TASKS


def test_settings_of_a_row() -> None:
    two = (Setting("100 %", options(fraction=1.0)), Setting("50 %", options(fraction=0.5)))
    cells = plan(study(MT, replace(ST, settings=("50 %",)), settings=two), augment="both").cells
    assert [(cell.setting, cell.row.title) for cell in cells] == [
        ("100 %, not augmented", "MT"),
        ("100 %, augmented", "MT"),
        ("50 %, not augmented", "MT"),
        ("50 %, not augmented", "ST"),
        ("50 %, augmented", "MT"),
        ("50 %, augmented", "ST"),
    ]
    assert [cell.trial.experiment.data.augment for cell in cells] == [False, True, False, False, True, True]


@pytest.mark.parametrize("title", ["50", "50%", "50 %"])
def test_some_settings_only(title) -> None:
    two = (Setting("100 %", options(fraction=1.0)), Setting("50 %", options(fraction=0.5)))
    assert plan(study(MT, settings=two), only=[title]).settings == ("50 %",)


def test_unknown_setting_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match="unknown setting '30'. Choices: 50"):
        plan(study(MT), only=["30 %"])


def test_what_is_built_upon_comes_first_and_is_shared() -> None:
    need = Need((MT,), lambda runs: {"cache": f"found {runs[0].name}"})
    first, second = Row("first", "mgm", needs=(need,)), Row("second", "mgm_real", needs=(need,))
    found = plan(study(first, second))
    assert [trial.experiment.recipe for trial in found.trials] == ["mt", "mgm", "mgm_real"]
    upon, trial, _ = found.trials
    assert trial.required == (upon,)
    resolved = trial.resolved(lambda needed: Path("somewhere") / needed.name)
    assert resolved.data.cache == f"found {upon.name}"
    assert trial.experiment.data.cache == ""


def test_a_trial_is_named_after_what_it_builds_upon() -> None:
    def upon(row: Row) -> str:
        return plan(study(Row("x", "mgm", needs=(Need((row,), lambda runs: {}),)))).trials[-1].name

    assert upon(MT) != upon(ST)
    assert upon(MT) != plan(study(MGM)).trials[-1].name


def test_only_the_tasks_that_the_data_offer() -> None:
    assert plan(study(MT), offered=("depth", "normal")).tasks == ("depth",)
    with pytest.raises(ConfigError, match="test is about semantic, depth; rooms offers none of them"):
        plan(study(MT), offered=("normal",))
    with pytest.raises(ConfigError, match=r"test \(a test\) needs labels for semantic, which rooms does not offer"):
        plan(study(MT, required=("semantic",)), offered=("depth",))


def test_contradictions_show_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match="fraction"):
        plan(study(Row("x", "mt", options(fraction=2.0))))


def test_arguments_hold_what_differs_from_the_preset() -> None:
    experiment = make_experiment("mt", "tiny")
    assert train_arguments(experiment, "tiny") == ["mt", "--preset", "tiny"]
    changes = options(augment=False, tasks=("depth", "normal"), seed=3, learning_rate=1e-5)
    assert train_arguments(with_options(experiment, changes), "tiny")[3:] == (
        ["--seed", "3", "--tasks", "depth", "normal", "--no-augment", "--learning-rate", "1e-05"]
    )


def test_changes_are_found_again() -> None:
    experiment = make_experiment("mgm", "quick")
    changed = with_options(experiment, options(seed=4, temperature=0.1, depth=34))
    assert changed_fields(changed, experiment) == {"seed": 4, "temperature": 0.1, "depth": 34}
