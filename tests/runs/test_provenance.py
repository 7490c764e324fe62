"""A run is continued as it was begun, or not at all; what a kill leaves at its start; and what a run costs."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from fake_runs import INFO, begin_run
from mgm.errors import ConfigError, RunError
from mgm.method.algorithm import stages
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder, read_json
from mgm.runs.provenance import Beginning, encoder_updates, parameter_counts, peak_memory_mb
from mgm.runs.settings import to_dict, with_absolute_paths
from toys import toy_experiment, toy_trainer, with_settings

EXPERIMENT = make_experiment("mgm", "tiny")


def beginning(**changes) -> Beginning:
    return replace(Beginning("mgm train", True, 0.0, 1, to_dict(EXPERIMENT)), **changes)


def test_the_same_settings_are_taken_wherever_data_and_device_are_now():
    def at(place: str):
        return with_settings(EXPERIMENT, device="cpu", log=("tensorboard",), data=place)

    beginning().check(EXPERIMENT)
    begun = beginning(settings=to_dict(at("/old/place")))
    begun.check(at("/new/place"))
    with pytest.raises(ConfigError, match="data.data: /old/place -> rooms"):
        begun.check(at("rooms"))


def test_edited_settings_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"training.steps: 6 -> 9; training.batch_size: 4 -> 2\); undo that"):
        beginning().check(with_settings(EXPERIMENT, steps=9, batch_size=2))
    with pytest.raises(ConfigError, match="seed: 0 -> 3"):
        beginning().check(replace(EXPERIMENT, seed=3))


def test_settings_that_were_fitted_to_minutes_or_data_may_be_given_as_they_were_asked_for():
    asked = with_settings(EXPERIMENT, steps=9, refinement="none")
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
    begin_run(folder, with_settings(EXPERIMENT, data="nowhere"), INFO)
    assert read_json(folder.beginning, Beginning).settings == to_dict(folder.experiment())
    assert not list(folder.path.glob(".*.tmp"))


def test_drafts_are_swept_when_a_run_is_continued(tmp_path):
    folder = RunFolder(tmp_path / "run")
    begin_run(folder, with_settings(EXPERIMENT, data="nowhere"), INFO)
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
    paths = {"data": "photos", "pretrain": "rooms", "cache": "c", "encoder": "hf:backbone", "encoder_run": "runs/a"}
    made = with_absolute_paths(with_settings(EXPERIMENT, **paths, generator_runs=("b", "../c"), annotator="~/d"))
    assert (made.data.data, made.data.pretrain, made.data.cache) == (f"{tmp_path}/photos", "rooms", f"{tmp_path}/c")
    assert (made.model.encoder, made.model.encoder_run) == (f"hf:{tmp_path}/backbone", f"{tmp_path}/runs/a")
    assert made.method.generator_runs == (f"{tmp_path}/b", f"{tmp_path.parent}/c")
    assert made.method.annotator.endswith("/d")
    assert made.method.annotator.startswith("/")
    assert with_absolute_paths(made) == made
    assert with_absolute_paths(EXPERIMENT) == EXPERIMENT


@pytest.mark.parametrize("runs, message", [(("/b", "/c"), ""), (("/b",), "generator_runs"), ((), "generator_runs")])
def test_runs_may_have_been_moved_but_not_left_out(runs, message):
    experiment = with_settings(EXPERIMENT, generator_runs=("/a", "/c"))
    with pytest.raises(ConfigError, match=message) if message else nullcontext():
        beginning(settings=to_dict(experiment)).check(with_settings(experiment, generator_runs=runs))


def test_parameters_of_every_network(tmp_path):
    networks = toy_trainer(toy_experiment(), tmp_path).networks
    counts = parameter_counts(networks)
    assert list(counts)[:2] == ["encoder", "decoders"]
    assert sum(counts.values()) == sum(parameter.numel() for parameter in networks.parameters())
    assert parameter_counts({"layer": nn.Linear(3, 2)}) == {"layer": 8}


def test_encoder_updates_are_those_that_the_stages_carry_out():
    training = {"steps": 10, "joint_share": 0.4, "generator_steps": 7}
    experiment = toy_experiment(training=training, method={"generator_updates": 2})
    counts = encoder_updates(stages(experiment))
    # the discriminator never moves the encoder, and in stage 2 the generator does not either
    assert counts == {
        "task": 10,
        "refinement": 4,
        "self_supervision": 4,
        "generator": 8,
        "extra_refinement": 4,
        "extra_self_supervision": 4,
    }
    baseline = toy_experiment("mt", training=training)
    assert encoder_updates(stages(baseline)) == {"task": 10}


def test_peak_memory_grows_with_what_is_used():
    before = peak_memory_mb(torch.device("cpu"))
    kept = torch.ones(2**25)  # 128 MiB, every page of it written
    after = peak_memory_mb(torch.device("cpu"))
    assert before is not None
    assert after is not None
    assert after >= before
    assert 128 <= after < 64_000  # MiB, not KiB or bytes
    assert kept[-1] == 1
