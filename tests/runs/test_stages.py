"""Stages that runs have in common are trained once, and the runs are bitwise what they would have been."""

import shutil
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from fakes import write_nyuv2
from mgm import plugins
from mgm.errors import ConfigError
from mgm.method.recipes import make_experiment
from mgm.plugins import load_plugins
from mgm.report.run_summary import training_time
from mgm.runs.folder import seconds_spent
from mgm.runs.provenance import source_digest
from mgm.runs.stages import check_stages_folder
from mgm.runs.train import train
from mgm.training.checkpoint import load_checkpoint
from mgm.training.trainer import Trainer
from toys import with_settings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_nyuv2(tmp_path_factory.mktemp("data") / "nyuv2")


def experiment_on(data, recipe="mgm", **training):
    return with_settings(make_experiment(recipe, "tiny"), data=str(data), fraction=0.7, ema=0.9, **training)


def steps_of(monkeypatch):
    """Names of the stages whose steps were carried out from here on."""
    carried_out = []
    original = Trainer.train_step
    monkeypatch.setattr(
        Trainer, "train_step", lambda self, stage, index: carried_out.append(stage.name) or original(self, stage, index)
    )
    return carried_out


def assert_same_run(left, right):
    names = {path.name for path in (left / "checkpoints").glob("*.pt")}
    assert names == {path.name for path in (right / "checkpoints").glob("*.pt")}
    for name in names:
        states = [load_checkpoint(path / "checkpoints" / name) for path in (left, right)]
        for part in ("networks", "model", "generator"):
            for a, b in zip(*(state.get(part, {}).values() for state in states), strict=True):
                assert torch.equal(a, b), f"{name}, {part}"
    assert (left / "metrics.jsonl").read_text() == (right / "metrics.jsonl").read_text()


@pytest.fixture(scope="module")
def kept(data, tmp_path_factory):
    """Way of a step -> a folder in which MGM has left its stages."""

    @cache
    def train_and_keep(optimizer_step):
        folder = tmp_path_factory.mktemp("kept")
        train(
            experiment_on(data, optimizer_step=optimizer_step), folder / "mgm", baseline=False, shared=folder / "stages"
        )
        return folder / "stages"

    return train_and_keep


@pytest.mark.parametrize(
    "recipe, stage, mode",
    [
        ("mgm_no_generator", "multi_task", "separate"),
        ("mt", "multi_task", "separate"),
        pytest.param("mgm", "generator", "combined", marks=pytest.mark.slow),
        pytest.param("mgm_control", "multi_task", "combined", marks=pytest.mark.slow),
    ],
)
def test_a_run_from_kept_stages_is_bitwise_the_run_that_trains_them(
    data, kept, recipe, stage, mode, tmp_path, monkeypatch
):
    stages = kept(mode)
    experiment = experiment_on(data, recipe, optimizer_step=mode)
    train(experiment, tmp_path / "alone", baseline=False)
    carried_out = steps_of(monkeypatch)
    train(experiment, tmp_path / "shared", baseline=False, shared=stages)
    assert "multi_task" not in carried_out
    if stage == "generator":
        assert "generator" not in carried_out
    assert_same_run(tmp_path / "alone", tmp_path / "shared")


def test_a_run_and_its_baseline_train_the_first_stage_once(data, tmp_path, monkeypatch):
    carried_out = steps_of(monkeypatch)
    monkeypatch.setattr("mgm.training.trainer.time", SimpleNamespace(perf_counter=lambda: len(carried_out)))
    result = train(experiment_on(data, "mgm_no_generator"), tmp_path / "run")
    assert carried_out == ["multi_task"] * 3 + ["continued"] * 3 + ["joint"] * 3
    assert not (tmp_path / "run/stages").exists()
    # with a second per step: each model cost six, both together nine
    assert [(member["seconds"], member["shared_seconds"]) for member in (result, result["baseline"])] == [
        (6, 3),
        (6, 0),
    ]
    assert seconds_spent([result, result["baseline"]]) == 9
    assert training_time(result) == (
        "training time: mgm_no_generator 6 s, mt 6 s; 9 s in all, because stages that models share are trained only once"
    )


@pytest.mark.parametrize(
    "change, shares",
    [({"seed": 1}, False), ({"learning_rate": 1e-4}, False), ({"steps": 8}, False), ({"flip_average": True}, True)],
)
def test_other_settings_do_not_share_unless_they_matter_only_once_it_is_trained(
    data, kept, change, shares, tmp_path, monkeypatch
):
    experiment = experiment_on(data, "mt", optimizer_step="separate", **change)
    carried_out = steps_of(monkeypatch)
    train(experiment, tmp_path / "run", baseline=False, shared=kept("separate"))
    assert ("multi_task" not in carried_out) == shares


def test_stages_of_other_code_are_not_shared(tmp_path, monkeypatch):
    plugin = tmp_path / "stage_plugin.py"
    digests = set()
    for text in ("LOSS = 1", "LOSS = 2"):
        plugin.write_text(text)
        monkeypatch.setitem(sys.modules, "stage_plugin", SimpleNamespace(__file__=str(plugin)))
        monkeypatch.setenv("MGM_PLUGINS", str(plugin))
        load_plugins()
        source_digest.cache_clear()
        digests.add(source_digest())
    monkeypatch.setattr(plugins, "_loaded", {})
    source_digest.cache_clear()
    assert len({*digests, source_digest()}) == 3


def test_of_two_runs_that_keep_the_same_stage_at_once_one_is_kept_and_nobody_fails(data, tmp_path, monkeypatch, capsys):
    stages = tmp_path / "stages"
    original = Path.rename

    def late(self, target):
        """Another run, the faster one, has kept the stage meanwhile."""
        if Path(target).parent == stages:
            shutil.copytree(self, target)
        return original(self, target)

    monkeypatch.setattr(Path, "rename", late)
    train(experiment_on(data, "mt"), tmp_path / "run", baseline=False, shared=stages)
    kept = list(stages.iterdir())
    assert kept
    assert all((place / "last.pt").exists() and not place.name.startswith(".") for place in kept)
    assert "not shared" not in capsys.readouterr().err


def test_a_folder_of_stages_that_cannot_be_written_costs_the_sharing_alone(data, tmp_path, capsys):
    (tmp_path / "stages").write_text("a file, not a folder")
    train(experiment_on(data, "mt"), tmp_path / "run", baseline=False, shared=tmp_path / "stages")
    assert (tmp_path / "run" / "result.json").exists()
    assert "the stage is not shared: cannot write" in capsys.readouterr().err


def test_stages_are_not_kept_among_somebody_elses_files(data, kept, tmp_path):
    (tmp_path / "photos/rgb").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"photos: holds something else \(rgb\); give a new folder"):
        train(experiment_on(data, "mt"), tmp_path / "run", baseline=False, shared=tmp_path / "photos")
    assert [entry.name for entry in tmp_path.iterdir()] == ["photos"]
    check_stages_folder(kept("separate"))
    check_stages_folder(tmp_path / "new")
