from dataclasses import replace
from functools import cache

import pytest
import torch

from mgm.cli.train import parse_train
from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.experiments.catalogue import BEYOND, STUDIES, find_study
from mgm.experiments.paper_values import CITYSCAPES, LOSSES, NYUV2, PRIMARY, TASKONOMY, paper_table
from mgm.experiments.plans import make_plan, train_arguments
from mgm.experiments.studies import CONTROL, MGM, MGM_G
from mgm.method.algorithm import joint_updates, stages
from mgm.method.recipes import PRESETS, RECIPES, make_experiment
from mgm.tasks import TASKS

SIX = tuple(TASKS)


@cache
def plan_of(name: str, seeds: int, offered=SIX, preset: str = "tiny", data: str = "rooms", **more):
    return make_plan(
        name,
        STUDIES[name],
        lambda recipe: make_experiment(recipe, preset),
        data=data,
        offered=offered,
        seeds=range(seeds),
        **more,
    )


def test_all_experiments_of_the_paper_are_there() -> None:
    tables = [f"table{number}" for number in range(1, 16)]
    assert set(tables) | {"figure5"} <= {name for name, study in STUDIES.items() if study.paper != BEYOND}
    assert {name for name, study in STUDIES.items() if study.paper == BEYOND} == {
        "disjoint",
        "twice",
        "simclr",
        "null",
        "labels",
    }


@pytest.mark.parametrize("name", ["table2", "table3", "table10", "figure5"])
def test_mgm_r_adds_as_many_weakly_labelled_images_as_are_labelled(name) -> None:
    """Paper, Table 2: another 50 % or 25 %; Figure 5 varies that number from 25 % on."""
    found = {cell.setting: cell.trial.experiment.data for cell in plan_of(name, 1).cells if cell.row.title == "MGM_r"}
    if name == "figure5":
        found = {"25 %": found["25 %"]}
    assert all(data.weak_fraction == data.fraction for data in found.values())
    assert {setting: data.fraction for setting, data in found.items()} == {
        "table2": {"50 %": 0.5, "25 %": 0.25}, "table3": {}, "table10": {}, "figure5": {"25 %": 0.25}
    }[name]  # fmt: skip


def test_settings_that_mean_nothing_to_a_recipe_leave_its_trials_shared() -> None:
    names = {
        (name, cell.row.title): cell.trial.name
        for name in ("table2", "figure5")
        for cell in plan_of(name, 1).cells
        if cell.setting == "25 %"
    }
    for title in ("MGM", "MGM/G", "control", "MGM_r"):
        assert names["table2", title] == names["figure5", title]


def test_table_10_doubles_both_sides() -> None:
    start = make_experiment("mgm", "quick")
    wide = replace(start, data=replace(start.data, image_size=(64, 96)))
    assert dict(STUDIES["table10"].adapt(start, "rooms")) == {"image_size": 128}
    assert dict(STUDIES["table10"].adapt(wide, "rooms")) == {"image_size": "128x192"}


def test_few_primary_questions_are_named_before_the_run() -> None:
    for name, study in STUDIES.items():
        plan = plan_of(name, 1)
        primary = [(ask.row, ask.reference) for ask in study.all_asks(plan.rows) if ask.primary]
        if any(row.title == "MGM" for row in plan.rows):
            assert primary == [
                ("MGM", reference)
                for reference in ("MT", "MGM/G", "control")
                if reference in {r.title for r in plan.rows}
            ]
        assert len(primary) <= 3
        assert plan.primary_setting in plan.settings
    assert plan_of("table2", 1).primary_setting == "25 %"
    assert plan_of("table2", 1, only=("100",)).primary_setting == "100 %"
    for only in (("25", "100"), ("100", "25 %"), ("25", "25", "100")):
        chosen = plan_of("table2", 1, only=only)
        assert (chosen.settings, chosen.primary_setting) == (("100 %", "25 %"), "25 %")
    assert plan_of("labels", 1, only=("100", "10")).primary_setting == "10 %"
    assert plan_of("table2", 1, augment="both").primary_setting == "25 %, augmented"
    assert plan_of("labels", 1).primary_setting == "25 %"


def test_no_place_is_in_two_parts_of_the_disjoint_split() -> None:
    kinds = {"nyuv2": "scene", "cityscapes_zurich": "city", "taskonomy": "tiny", "rooms": "random"}
    for data, kind in kinds.items():
        plan = plan_of("disjoint", 1, data=data)
        assert {cell.trial.experiment.data.split for cell in plan.cells} == {kind}
    with pytest.raises(ConfigError, match="unknown split 'scene'. Choices: official, random"):
        plan_of("disjoint", 1, data="photos", split_kinds=("random", "official"))


def test_positive_control_and_null_differ_in_what_they_are_about() -> None:
    def pair(name):
        return [cell.trial.experiment for cell in plan_of(name, 1).cells]

    few, twice = pair("twice")
    assert (few.data.fraction, twice.data.fraction) == (0.25, 0.5)
    assert replace(twice, data=few.data) == few
    one, again = pair("null")
    assert replace(again, seed=0) == one, "the same images and settings"
    assert again.seed != one.seed
    alone, simclr = pair("simclr")
    assert [one.data.augment for one in (alone, simclr)] == [False, False]
    assert [update.name for update in joint_updates(simclr.method)] == ["task", "self_supervision"]
    assert [stage.name for stage in stages(simclr)] == ["joint"]


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_makes_a_plan(name) -> None:
    plan = plan_of(name, 2)
    assert {cell.seed for cell in plan.cells} == {0, 1}
    assert {cell.trial.experiment.recipe for cell in plan.cells} <= RECIPES.keys()
    names = [trial.name for trial in plan.trials]
    assert len(set(names)) == len(names)
    for trial in plan.trials:  # what is built upon comes first
        assert all(names.index(needed.name) < names.index(trial.name) for needed in trial.required)


@pytest.mark.parametrize(
    ("name", "preset"), [*((name, "tiny") for name in STUDIES), *(("table11", preset) for preset in PRESETS)]
)
def test_a_trial_is_a_plain_train_command_with_exactly_its_settings(name, preset) -> None:
    plan = plan_of(name, 1, preset=preset)
    recipes = {trial.experiment.recipe: trial.experiment for trial in plan.trials}  # one of each
    for experiment in recipes.values():
        assert parse_train(train_arguments(experiment, preset)).experiment == experiment


@pytest.mark.parametrize("name", [name for name in STUDIES if any(r.title == "MGM" for r in STUDIES[name].rows(SIX))])
def test_mgm_g_and_the_control_stand_beside_mgm(name) -> None:
    plan = plan_of(name, 1)
    by_setting: dict[str, dict[str, Experiment]] = {}
    for cell in plan.cells:
        by_setting.setdefault(cell.setting, {})[cell.row.title] = cell.trial.experiment
    for models in by_setting.values():
        assert {"MGM", "MGM/G", "control"} <= models.keys()
        # and differ from it in nothing but what they are about
        if models["MGM"].recipe == "mgm":
            same = replace(models["MGM"].method, extra_images="labelled")
            assert replace(models["MGM"], recipe="mgm_control", method=same) == models["control"]


@pytest.mark.parametrize("name", STUDIES)
def test_questions_are_about_rows_that_exist(name) -> None:
    study = STUDIES[name]
    titles = {row.title for row in study.rows_with_controls(SIX)}
    assert all({ask.row, ask.reference} <= titles for ask in study.asks)
    assert name == "table8" or study.all_asks(study.rows_with_controls(SIX))


@pytest.mark.parametrize(
    ("name", "table"), [(n, t) for tables in (NYUV2, TASKONOMY, CITYSCAPES) for n, t in tables.items()]
)
def test_every_value_of_the_paper_has_its_place_in_our_table(name, table) -> None:
    plan = plan_of(name, 1, data="taskonomy" if table.data == "Tiny-Taskonomy" else "rooms")
    places = {(cell.setting, cell.row.title) for cell in plan.cells}
    assert table.values.keys() <= places
    assert all(len(values) == len(table.tasks) for values in table.values.values())
    # and what the paper's table has no value for is marked as not in it, but where the paper leaves a cell out
    given = {model for _, model in table.values}
    assert given <= {row.title for row in plan.rows if row.in_paper}


def test_values_of_the_specification() -> None:
    for setting, model, values in (
        ("100 %", "MGM", (0.264, 0.698, 0.255)),
        ("50 %", "MGM_r", (0.258, 0.723, 0.270)),
        ("25 %", "ST", (0.199, 0.908, 0.312)),
    ):
        assert NYUV2["table2"].values[setting, model] == values
    assert NYUV2["table7"].values["10 %", "MT"] == (0.185, 0.930, 0.311)
    # a number that stands in several tables is the same in all
    for name in ("table3", "table4", "table12", "table15"):
        assert NYUV2[name].values["50 %", "MGM"] == NYUV2["table2"].values["50 %", "MGM"]


def test_reference_is_of_the_same_data_where_the_paper_has_it() -> None:
    assert paper_table("table2", "taskonomy") is TASKONOMY["table2"]
    assert paper_table("table2", "nyuv2") is NYUV2["table2"]
    assert paper_table("table5", "rooms") is TASKONOMY["table5"]
    assert paper_table("figure5", "nyuv2") is None


@pytest.mark.parametrize("task", LOSSES)
def test_loss_metrics_are_the_training_loss_over_the_data(task) -> None:
    """The paper's metric on Taskonomy is the mean test loss."""
    made = TASKS[task](("a", "b", "c"))
    torch.manual_seed(0)
    prediction = torch.rand(2, made.channels, 8, 8)
    if task == "semantic":
        target = torch.randint(0, 3, (2, 8, 8))
        target[0, :3] = 255
    else:
        target = torch.rand(2, made.channels, 8, 8) + 0.1
        if task == "normal":
            target = torch.nn.functional.normalize(target, dim=1)
        target[0, :, :3] = float("nan")
    meter = made.metrics()
    meter.update(prediction[:1], target[:1])
    meter.update(prediction[1:], target[1:])
    assert meter.compute()[LOSSES[task]] == pytest.approx(float(made.loss(prediction, target)), rel=1e-5)


def test_metrics_exist() -> None:
    for metrics in (PRIMARY, LOSSES):
        assert all(metric in TASKS[task].metrics_info for task, metric in metrics.items())
    assert TASKS.keys() == LOSSES.keys()


@pytest.mark.parametrize("name", ["figure5", "Figure5"])
def test_found_by_name(name) -> None:
    assert find_study(name)[0] == "figure5"


def test_unknown_study_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"unknown experiment 'table22'. Did you mean 'table2'"):
        find_study("table22")


def test_controls_are_added_once_and_keep_what_the_paper_has() -> None:
    rows = STUDIES["table3"].rows_with_controls(SIX)
    assert [row.title for row in rows] == ["MGM/G", "MGM/j", "control", "MGM"]
    assert rows[0].in_paper
    assert not rows[2].in_paper
    assert (MGM_G.recipe, CONTROL.recipe, MGM.recipe) == ("mgm_no_generator", "mgm_control", "mgm")


def test_ratios_of_figure_5_count_in_shares_of_the_training_set() -> None:
    plan = plan_of("figure5", 1)
    found = {(cell.setting, cell.row.title): cell.trial.experiment for cell in plan.cells}
    assert found["75 %", "MGM"].method.extra_ratio == 3.0  # three times the labelled quarter
    assert found["75 %", "MGM_r"].data.weak_fraction == 0.75
    assert ("100 %", "MGM_r") not in found
    # MGM/G has no extra images: one trial for all ratios
    assert len({cell.trial.name for cell in plan.cells if cell.row.title == "MGM/G"}) == 1
    assert len({cell.trial.name for cell in plan.cells if cell.row.title == "MGM"}) == 5
