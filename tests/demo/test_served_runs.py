import json
import shutil

import pytest

from fake_runs import INFO, write_run
from mgm.demo.runs import open_runs
from mgm.errors import ConfigError, RunError
from mgm.inference.model import TrainedModel

RESULT = {
    "recipe": "mgm",
    "data": "rooms",
    "steps": 6,
    "num_labelled": 7,
    "test": {"semantic": {"miou": 0.25}, "depth": {"abs_error_m": None}, "normal": {"angle_deg": 29.84}},
}


def test_titles_are_folder_and_recipe_and_unique(run, tmp_path):
    copy = tmp_path / "first"
    shutil.copytree(run, copy)
    assert list(open_runs([run, copy], "cpu").runs) == ["first (mgm)", "first (mgm, 2)"]


def test_a_run_alone_brings_its_baseline(run, tmp_path):
    copy = tmp_path / "alone"
    shutil.copytree(run, copy)
    write_run(copy / "baseline", seed=3)
    assert list(open_runs([copy], "cpu").runs) == ["alone (mgm)"]  # not finished
    (copy / "baseline" / "result.json").write_text(json.dumps(RESULT))
    assert list(open_runs([copy], "cpu").runs) == ["alone (mgm)", "alone/baseline (mgm)"]
    assert list(open_runs([copy, run], "cpu").runs) == ["alone (mgm)", "first (mgm)"]


def test_the_summary_says_what_a_run_is_and_how_good(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert "run not finished: step 0 of 6, the best model so far" in open_runs([copy], "cpu").first.summary
    (copy / "result.json").write_text(json.dumps(RESULT))
    assert open_runs([copy], "cpu").first.summary == (
        "trained on rooms at 32 × 32, 7 labelled images; test set: semantic segmentation mIoU 0.250, "
        "surface normals mean angle 29.8°"
    )


def test_generators_are_named_by_when_they_were_kept(served):
    first, second = served.runs.values()
    assert list(first.generators) == ["after joint training", "before joint training"]
    assert second.generators == {}


def test_without_its_data_a_run_is_served_without_examples(tmp_path):
    run = write_run(tmp_path / "run", info=INFO, data="nowhere/photos")
    served = open_runs([run], "cpu")
    assert served.examples == ()
    assert "nowhere/photos" in served.no_examples


def test_a_model_folder_is_served_without_examples_unless_a_run_brings_them(run, tmp_path):
    TrainedModel.load(run, "cpu").save_pretrained(tmp_path / "model")
    alone = open_runs([tmp_path / "model"], "cpu")
    assert list(alone.runs) == ["model (mgm)"]
    assert alone.first.generators == {}
    assert alone.first.summary.startswith("trained on rooms at 32 × 32; model folder: ")
    assert "contains no data" in alone.no_examples
    both = open_runs([tmp_path / "model", run], "cpu")
    assert list(both.runs) == ["model (mgm)", "first (mgm)"]
    assert len(both.examples) == 2
    assert both.no_examples == ""


def test_a_run_named_twice_or_missing_is_an_error(run, tmp_path):
    with pytest.raises(ConfigError, match="given more than once"):
        open_runs([run, run / "." / ".." / run.name], "cpu")
    with pytest.raises(RunError, match="neither a run"):
        open_runs([tmp_path], "cpu")
