"""The figure of a study: dots or curves of every metric, and nothing before there is a result."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fake_trials import pretend_all, three_tasks
from mgm.experiments.catalogue import STUDIES
from mgm.experiments.plans import make_plan
from mgm.experiments.study_files import Place
from mgm.experiments.tables import make_table
from mgm.method.recipes import make_experiment
from mgm.report.experiment_figures import draw


def plan_and_place(tmp_path, name, **changes):
    base = lambda recipe: make_experiment(recipe, "tiny")  # noqa: E731
    study = replace(STUDIES[name], **changes)
    plan = make_plan(name, study, base, data="rooms", offered=("semantic", "depth", "normal"), seeds=range(2))
    return plan, Place(tmp_path).trial


@pytest.mark.parametrize("name", ["table7", "figure5"])
def test_figures_of_a_study(tmp_path, name):
    (plan, trial), random = plan_and_place(tmp_path, name), np.random.default_rng(0)
    assert draw(make_table(plan, trial, "rooms"), trial, tmp_path / "figure") == []
    pretend_all(plan.cells, trial, lambda cell: three_tasks(*random.normal([0.1, 1.0, 30.0], 0.01)))
    paths = draw(make_table(plan, trial, "rooms"), trial, tmp_path / "figure")
    assert [path.name for path in paths] == ["figure.png", "figure.pdf"]
    assert paths[0].read_bytes()[:4] == b"\x89PNG"


def test_many_metrics_stand_in_rows_of_at_most_four(tmp_path):
    plan, trial = plan_and_place(tmp_path, "table7", all_metrics=True)
    pretend_all(plan.cells, trial, lambda cell: three_tasks(0.1, 1.0, 30.0))
    table = make_table(plan, trial, "rooms")
    assert len(table.columns) > 8
    path, _ = draw(table, trial, tmp_path / "figure")
    with Image.open(path) as picture:
        assert picture.width < 4 * 3.7 * 120
        assert picture.width / picture.height < 3
