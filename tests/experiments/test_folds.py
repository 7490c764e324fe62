"""Cross-validation: every labelled image is tested once, and the final model learns from all."""

from dataclasses import replace

import numpy as np
import pytest

from fake_cells import write_cells
from fake_folder import write_own
from fake_trials import pretend, three_tasks
from mgm.api import train_and_draw
from mgm.data import open_source
from mgm.data.store import cached_store
from mgm.errors import ConfigError
from mgm.experiments.execution import run_trials
from mgm.experiments.folds import FINAL, make_folds
from mgm.experiments.plans import make_plan, train_arguments
from mgm.experiments.studies import MGM_G, MT, Asks, Setting, Study
from mgm.experiments.study_files import Place, write_study
from mgm.experiments.workers import InThisProcess
from mgm.method.recipes import make_experiment
from mgm.report.html.page import make_page
from mgm.runs.folder import read_result
from mgm.runs.images import RunImages
from mgm.runs.splits import make_splits, parse_split
from mgm.types import DatasetInfo

TASKS = ("semantic", "depth", "normal")


def folds(recipe="mgm", count=3, baseline=True, **data):
    experiment = make_experiment(recipe, "tiny")
    experiment = replace(experiment, data=replace(experiment.data, **data))
    return make_folds(experiment, count, baseline=baseline, info=DatasetInfo("rooms", TASKS))


def test_a_training_per_fold_and_recipe_and_one_from_everything():
    plan = folds()
    found = [(cell.row.title, cell.seed, cell.trial.experiment.data.split) for cell in plan.cells]
    splits = [(fold, f"random:{fold}/3") for fold in (1, 2, 3)]
    assert found == [
        *(("mt", *split) for split in splits),
        *(("mgm", *split) for split in splits),
        (FINAL, 4, "all"),
    ]
    assert {cell.trial.experiment.data.split_seed for cell in plan.cells} == {0}
    assert [trial.name[:9] for trial in plan.cells[-1].trial.required] == ["mgm-fold1", "mgm-fold2", "mgm-fold3"]
    assert len({trial.name for trial in plan.trials}) == 7
    assert [cell.row.title for cell in folds("mt").cells] == ["mt", "mt", "mt", FINAL]
    assert [cell.row.title for cell in folds(baseline=False).cells] == ["mgm", "mgm", "mgm", FINAL]
    assert train_arguments(plan.cells[0].trial.experiment, "tiny") == [
        "mt",
        "--preset",
        "tiny",
        "--split",
        "random:1/3",
    ]


def test_other_settings_are_other_trials():
    names = {trial.name for plan in (folds(), folds(colour=0.3), folds(split_seed=1)) for trial in plan.trials}
    assert len(names) == 21


@pytest.mark.parametrize("split", ["official", "all", "random:1/3"])
def test_splits_that_cannot_be_folded_are_refused(split):
    with pytest.raises(ConfigError, match="folds are random"):
        folds(split=split)
    with pytest.raises(ConfigError, match="must be 2 or more"):
        folds(count=1)


def test_the_final_model_trains_for_the_median_of_the_best_steps(tmp_path):
    plan, place = folds(), Place(tmp_path)
    stopped = [{}, {"multi_task": {"step": 10, "of": 30}, "joint": {"step": 8, "of": 9}}, {}]
    for cell, best, ends in zip(plan.cells[3:6], (50, 60, 90), stopped, strict=True):
        pretend(place.trial(cell.trial), three_tasks(0.1, 1, 30), best_step=best, best_stage="joint", stopped=ends)
    final = plan.cells[-1].trial.resolved(lambda trial: place.trial(trial).path)
    assert final.training.steps == 50  # of 50, 60 - 20 and 90
    assert final.data.split == "all"


def test_table_and_page_have_every_metric_and_speak_of_folds(tmp_path):
    plan, place = folds(), Place(tmp_path)
    for cell in plan.cells[:6]:
        miou = 0.1 * cell.seed + (0.05 if cell.row.title == "mgm" else 0)
        pretend(place.trial(cell.trial), three_tasks(miou, 1.0, 30.0))
    write_study(plan, place, "rooms", preset="tiny", errors={}, command="mgm train --folds 3", seconds=1.0)
    text = (tmp_path / "folds/table.md").read_text()
    assert "folds 1, 2, 3; test set; mean ± standard deviation" in text
    assert "| Semantic segmentation: mIoU ↑ " in text
    assert "0.200 ± 0.100 | 0.250 ± 0.100 |" in text
    assert "| Surface normals: mean angle [°] ↓ " in text
    assert "seed" not in text
    page = make_page(tmp_path / "folds")
    assert "Mean ± standard deviation over folds" in page
    assert "3 folds" in page
    assert "0.250" in page
    assert FINAL in page
    for text in ("ours", "not in the paper", "<dt>Paper</dt>", ">seed<", "Figures 4 and 6"):
        assert text not in page
    assert '<td class="n">4</td>' not in page, "the final model is no fold"
    assert '<th scope="colgroup" colspan="3" class="n">Semantic segmentation</th>' in page


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twelve pictures from six buildings, the last one without labels."""
    folder = write_own(tmp_path_factory.mktemp("own"), 12, scenes=False)
    for task in TASKS:
        (folder / task / "photo_011.png").unlink()
    rows = [f"photo_{number:03d},b{number % 6}" for number in range(12)]
    (folder / "labels.csv").write_text("\n".join(["name,building", *rows]))
    (folder / "dataset.yaml").write_text("table: {group: building}\n")
    return open_source(str(folder))


@pytest.mark.parametrize("kind", ["random", "building"])
def test_labelled_images_are_tested_once_and_groups_stay_together(source, kind):
    has = np.array([[True]] * 11 + [[False]])
    tested = []
    for fold in (1, 2, 3):
        config = replace(make_experiment("mt", "tiny").data, split=f"{kind}:{fold}/3")
        splits = make_splits(cached_store(source, 32), source, config, has)
        parts = (splits.train, splits.validation, splits.test)
        assert sorted({11, *np.concatenate(parts).tolist()}) == list(range(12))
        assert len(splits.validation)
        tested += splits.test.tolist()
        if kind == "building":
            buildings = [set((part % 6).tolist()) for part in parts]
            assert sum(map(len, buildings)) == 6
        assert (11 in splits.train) == (kind == "random" or 5 in splits.train)
    assert sorted(tested) == list(range(11))


@pytest.mark.parametrize(
    "split", ["random:0/3", "random:4/3", "random:1/1", ":1/3", "all:1/3", "random:1", "random:a/b"]
)
def test_folds_that_do_not_exist_are_named(split):
    with pytest.raises(ConfigError, match="written like random:2/5"):
        parse_split(split)


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_tasks_of_the_data_set_are_cross_validated_and_compared_too(tmp_path):
    cells = write_cells(tmp_path / "plate")
    info = open_source(str(cells)).info
    experiment = make_experiment("mgm_no_generator", "tiny", str(cells))
    short = replace(experiment.training, steps=2)
    experiment = replace(experiment, data=replace(experiment.data, num_images=0), training=short)
    of_folds = make_folds(experiment, 2, baseline=True, info=info)
    of_seeds = make_plan(
        "beside",
        Study("", "", lambda _: (MT, MGM_G), (Setting(""),), (Asks("MGM/G", "MT"),)),
        lambda recipe: replace(make_experiment(recipe, "tiny", str(cells)), data=experiment.data, training=short),
        data=info.name,
        offered=info.tasks,
        own_tasks=info.own_tasks,
        seeds=range(2),
    )
    for plan in (of_folds, of_seeds):
        place = Place(tmp_path / plan.name)
        assert not run_trials(plan.trials, place, InThisProcess(train_and_draw), preset="tiny")
        table = write_study(plan, place, info.name, preset="tiny", errors={}, command="a test", seconds=1.0)
        assert {column.task for column in table.columns} == {"cells", "damage", "heat", "drift"}
        for text in ((place.study(plan.name) / "table.md").read_text(), make_page(place.study(plan.name))):
            assert "°C" in text
    assert table.answers[0].tasks.keys() == {"cells", "damage", "heat", "drift"}
    assert table.answers[0].tasks["heat"].bootstrap


@pytest.mark.slow
@pytest.mark.usefixtures("without_pictures")
def test_a_cross_validation_from_the_first_fold_to_the_final_model(tmp_path):
    place, plan = Place(tmp_path), folds("mt", 2, tasks=TASKS)
    assert not run_trials(plan.trials, place, InThisProcess(train_and_draw), preset="tiny")
    runs = [place.trial(trial) for trial in plan.trials]
    tests = [RunImages.read(run.images).test.keys() for run in runs]
    assert len(tests[0] | tests[1]) == 80
    assert not tests[0] & tests[1]
    final = read_result(runs[-1].result)
    assert final["num_labelled"] == 80
    assert final["steps"] == final["best_step"] == 6
    assert final["test"]["depth"]["abs_error_m"] is None
    assert "Stage 3" in make_page(runs[-1].path)
    begun = [run.result.stat().st_mtime_ns for run in runs]
    assert not run_trials(plan.trials, place, InThisProcess(train_and_draw), preset="tiny")
    assert [run.result.stat().st_mtime_ns for run in runs] == begun
