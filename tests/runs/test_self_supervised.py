"""Pre-training on photographs, and what a run that begins with its encoder knows and refuses."""

import shutil
from pathlib import Path

import pytest
import torch

from fake_folder import own_files, write_own
from fakes import write_files
from mgm.data import open_photographs
from mgm.errors import ConfigError, DataError, RunError
from mgm.inference.model import TrainedModel
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.images import RunImages
from mgm.runs.self_supervised import pretrain, without_tasks
from mgm.runs.starting_weights import with_structure
from mgm.runs.train import train
from mgm.training.checkpoint import load_checkpoint
from mgm.training.metrics_log import read_metrics_log
from mgm.training.trainer import Trainer
from toys import KilledError, assert_same, with_settings

TEXT = "SimCLR on 10 photographs of album"


def settings(photographs, **training):
    training = {"steps": 6, "batch_size": 4, "checkpoint_every": 2, **training}
    return without_tasks(with_settings(make_experiment("mgm", "tiny"), data=str(photographs), **training))


def training_from(run, data, **changes):
    return with_settings(make_experiment("mt", "tiny", str(data)), encoder_run=str(run), **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """``own``: 20 labelled pictures; ``album``: ten others without labels, in folders."""
    root = tmp_path_factory.mktemp("data")
    write_own(root / "own", 20)
    pictures = [(name, content) for name, content in own_files(30).items() if name.startswith("rgb/")][20:]
    write_files(root / "album", {f"{number % 2}/{number}.jpg": text for number, (_, text) in enumerate(pictures)})
    return root


@pytest.fixture(scope="module")
def encoder(folder):
    """A finished pre-training."""
    pretrain(settings(folder / "album"), folder / "encoder")
    return folder / "encoder"


def test_only_encoder_and_projection_learn_and_the_encoder_is_kept(folder, encoder):
    result = read_result(encoder / "result.json")
    assert (result["num_photographs"], result["steps"], result["data"]) == (10, 6, "album")
    assert result["updates"] == {"self_supervision": 6}
    records = list(read_metrics_log(encoder / "metrics.jsonl"))
    assert records[-1].get("losses").keys() == {"self_supervision"}
    last = load_checkpoint(encoder / "checkpoints/last.pt")["networks"]
    kept = load_checkpoint(encoder / "checkpoints/best.pt")["model"]
    assert all(torch.equal(last[f"model.{key}"], value) for key, value in kept.items())
    assert any(key.endswith("running_mean") and value.abs().max() > 0 for key, value in kept.items())
    with pytest.raises(RunError, match="holds only a pre-trained encoder, .*; train with it: mgm train --encoder-run"):
        TrainedModel.load(encoder)


def test_killed_and_resumed_is_bitwise_uninterrupted(folder, encoder, tmp_path, monkeypatch):
    original, calls = Trainer.train_step, iter(range(100))

    def dying(self, stage, index):
        if next(calls) == 3:
            raise KilledError
        return original(self, stage, index)

    monkeypatch.setattr(Trainer, "train_step", dying)
    with pytest.raises(KilledError):
        pretrain(settings(folder / "album"), tmp_path / "run")
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="batch_size: 4 -> 5"):
        pretrain(settings(folder / "album", batch_size=5), tmp_path / "run", resume=True)
    pretrain(settings(folder / "album"), tmp_path / "run", resume=True)
    left, right = (load_checkpoint(run / "checkpoints/last.pt") for run in (encoder, tmp_path / "run"))
    assert_same(left, right)


def test_a_run_begins_with_the_encoder_and_says_so_though_it_is_gone(folder, encoder, tmp_path):
    moved = shutil.copytree(encoder, tmp_path / "encoder")
    result = train(training_from(moved, folder / "own"), tmp_path / "run")
    assert result["pretrained"] == TEXT
    shutil.rmtree(moved)
    model = TrainedModel.load(tmp_path / "run")
    assert model.experiment.model.pretrained_on == TEXT


def test_the_encoder_is_what_the_run_starts_from(folder, encoder, tmp_path, monkeypatch):
    kept = load_checkpoint(encoder / "checkpoints/best.pt")["model"]
    found = []

    def look(self):
        found.append({f"encoder.{key}": value.clone() for key, value in self.networks["encoder"].state_dict().items()})
        raise KilledError

    monkeypatch.setattr(Trainer, "run", look)
    with pytest.raises(KilledError):
        train(training_from(encoder, folder / "own"), tmp_path / "run")
    assert_same(found[0], kept)


@pytest.mark.parametrize("model, flag", [({"depth": 18}, "--depth 10"), ({"encoder": "lite0"}, "--encoder resnet")])
def test_another_network_cannot_take_it(folder, encoder, tmp_path, model, flag):
    with pytest.raises(ConfigError, match=flag):
        train(training_from(encoder, folder / "own", pretrained=False, **model), tmp_path / "run")


def test_photographs_that_are_test_images_are_refused_and_can_be_left_out(folder, tmp_path, capsys):
    photographs = tmp_path / "all"
    shutil.copytree(folder / "own/rgb", photographs)
    pretrain(settings(photographs), tmp_path / "seen")
    data = folder / "own"
    with pytest.raises(DataError, match=r"has seen 3 of the 3 test images.*mgm pretrain \.\.\. --exclude"):
        train(training_from(tmp_path / "seen", data), tmp_path / "run")
    capsys.readouterr()
    pretrain(settings(photographs), tmp_path / "unseen", exclude=str(data))
    assert "6 photographs are left out: validation or test images" in capsys.readouterr().err
    assert len(RunImages.read(tmp_path / "unseen/images.json").weak) == 14
    train(training_from(tmp_path / "unseen", data), tmp_path / "run")
    with pytest.raises(DataError, match="has seen"):  # another split
        train(training_from(tmp_path / "unseen", data, split_seed=1), tmp_path / "other")


def test_of_a_data_set_the_training_images_are_used(folder, tmp_path):
    pretrain(settings(folder / "own"), tmp_path / "encoder")
    result = train(training_from(tmp_path / "encoder", folder / "own"), tmp_path / "run")
    assert result["pretrained"] == "SimCLR on 14 photographs of own"


def test_images_of_another_size_cannot_be_told_apart(folder, encoder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda self: (_ for _ in ()).throw(KilledError))
    with pytest.raises(KilledError):
        train(training_from(encoder, folder / "own", image_size=64), tmp_path / "run")
    assert "has seen test images cannot be told: its images are of 32 px, these of 64" in capsys.readouterr().err


def test_what_is_taken_for_photographs(folder, tmp_path):
    assert len(open_photographs(str(folder / "album"))) == 10
    assert open_photographs(str(folder / "own")).info.tasks == ("semantic", "depth", "normal")
    write_files(tmp_path / "bare", {name: text for name, text in own_files(3).items() if name.startswith("rgb/")})
    assert open_photographs(str(tmp_path / "bare")).info.tasks == ()
    (tmp_path / "none").mkdir()
    (tmp_path / "none/a.txt").write_text("no picture")
    with pytest.raises(DataError, match="has no image files"):
        open_photographs(str(tmp_path / "none"))


def test_a_pretraining_that_is_too_small_or_changed_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match="10 photographs are too few for batches of 11"):
        pretrain(settings(folder / "album", batch_size=11), tmp_path / "run")
    assert not RunFolder(tmp_path / "run").exists


def test_by_the_command_line(mgm, folder, tmp_path):
    out = tmp_path / "encoder"
    flags = ("--preset", "tiny", "--steps", 2, "--batch-size", 4)
    text = mgm.done("pretrain", folder / "album", *flags, "--out", out)
    assert "encoder of 2 steps on 10 photographs" in text
    assert f"mgm train mt --preset tiny --encoder-run {out}" in text
    mgm.done("pretrain", "--resume", out)
    assert "give a folder of photographs" in mgm.refused("pretrain")
    assert "pretrain on album" in " ".join(mgm.done("runs", out).split())


def test_a_run_that_starts_from_another_one_says_what_that_has_learned_from(folder, encoder, tmp_path):
    first = training_from(encoder, folder / "own")
    train(first, tmp_path / "first", baseline=False)
    again = with_structure(training_from(tmp_path / "first", folder / "own"))
    assert again.model.pretrained_on == TEXT, "the same data are nothing else"
    rooms = with_structure(with_settings(again, data="rooms"))
    assert rooms.model.pretrained_on == f"{TEXT}, then mt on own"
