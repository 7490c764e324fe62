"""A run is continued as it was begun, or not at all; and what a kill leaves at its start."""

from dataclasses import replace

import pytest

from fake_runs import INFO, begin_run
from mgm.errors import ConfigError, RunError
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder
from mgm.runs.provenance import Beginning
from mgm.runs.settings import to_dict, with_absolute_paths

EXPERIMENT = make_experiment("mgm", "tiny")


def beginning(**changes) -> Beginning:
    return replace(Beginning("mgm train", True, 0.0, 1, to_dict(EXPERIMENT)), **changes)


def with_training(**changes):
    return replace(EXPERIMENT, training=replace(EXPERIMENT.training, **changes))


def test_the_same_settings_are_taken_wherever_data_and_device_are_now():
    def at(place: str):
        return replace(with_training(device="cpu", log=("tensorboard",)), data=replace(EXPERIMENT.data, data=place))

    beginning().check(EXPERIMENT)
    begun = beginning(settings=to_dict(at("/old/place")))
    begun.check(at("/new/place"))
    with pytest.raises(ConfigError, match="data.data: /old/place -> rooms"):
        begun.check(at("rooms"))


def test_edited_settings_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"training.steps: 6 -> 9; training.batch_size: 4 -> 2\); undo that"):
        beginning().check(with_training(steps=9, batch_size=2))
    with pytest.raises(ConfigError, match="seed: 0 -> 3"):
        beginning().check(replace(EXPERIMENT, seed=3))


def test_settings_that_were_fitted_to_minutes_or_data_may_be_given_as_they_were_asked_for():
    asked = replace(with_training(steps=9), method=replace(EXPERIMENT.method, refinement="none"))
    beginning(minutes=3.0).check(asked, derived=True)
    for strict in (beginning(), beginning(minutes=3.0)):
        with pytest.raises(ConfigError, match="training.steps"):
            strict.check(asked)


def test_settings_of_a_later_version_count_for_nothing():
    older = to_dict(EXPERIMENT)
    del older["training"]["ema"]
    beginning(settings=older).check(EXPERIMENT)


def test_another_number_of_processes_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"begun with 2 processes .* with 1, .*torchrun --nproc-per-node 2"):
        beginning(world_size=2).check(EXPERIMENT)
    monkeypatch.setattr("mgm.runs.provenance.world_size", lambda: 4)
    with pytest.raises(ConfigError, match=r"begun with 1 process and cannot be continued with 4"):
        beginning().check(EXPERIMENT)


def test_what_a_kill_leaves_before_the_run_is_there_hinders_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    for name in ("dataset.json", "images.json", "begun.json", ".lock", ".config.yaml.4711.tmp"):
        (folder.path / name).write_text("cut sh")
    begin_run(folder, replace(EXPERIMENT, data=replace(EXPERIMENT.data, data="nowhere")), INFO)
    assert Beginning.read(folder.beginning).settings == to_dict(folder.experiment())
    assert not list(folder.path.glob(".*.tmp"))


def test_drafts_are_swept_when_a_run_is_continued(tmp_path):
    folder = RunFolder(tmp_path / "run")
    begin_run(folder, replace(EXPERIMENT, data=replace(EXPERIMENT.data, data="nowhere")), INFO)
    draft = folder.checkpoints / ".last.pt.4711.tmp"
    draft.write_bytes(b"half")
    folder.lock().release()
    assert not draft.exists()
    with pytest.raises(RunError, match="is not empty; continue it with --resume"):
        begin_run(folder, EXPERIMENT, INFO)


def test_a_folder_of_somebody_elses_stays_as_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty; choose another folder"):
        begin_run(RunFolder(tmp_path), EXPERIMENT, INFO)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_every_path_of_the_settings_is_absolute(tmp_path, monkeypatch):
    for name in ("photos", "rooms", "backbone"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    made = with_absolute_paths(
        replace(
            EXPERIMENT,
            data=replace(EXPERIMENT.data, data="photos", pretrain="rooms", cache="c"),
            model=replace(EXPERIMENT.model, encoder="hf:backbone", encoder_run="runs/a"),
            method=replace(EXPERIMENT.method, generator_runs=("b", "../c"), annotator="~/d"),
        )
    )
    assert (made.data.data, made.data.pretrain, made.data.cache) == (f"{tmp_path}/photos", "rooms", f"{tmp_path}/c")
    assert (made.model.encoder, made.model.encoder_run) == (f"hf:{tmp_path}/backbone", f"{tmp_path}/runs/a")
    assert made.method.generator_runs == (f"{tmp_path}/b", f"{tmp_path.parent}/c")
    assert made.method.annotator.endswith("/d")
    assert made.method.annotator.startswith("/")
    assert with_absolute_paths(made) == made
    assert with_absolute_paths(EXPERIMENT) == EXPERIMENT
