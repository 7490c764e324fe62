"""Training on a pre-trained encoder through the command line; what a run keeps of it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backbones import write_backbone
from mgm.method.recipes import make_experiment
from mgm.runs.settings import from_yaml
from mgm.runs.starting_weights import with_structure
from mgm.training.checkpoint import load_checkpoint
from toys import with_settings

pytest.importorskip("transformers")

pytestmark = pytest.mark.usefixtures("without_pictures")
TINY = ["--preset", "tiny", "--batch-size", "4", "--generator-batch-size", "4", "--tasks", "semantic", "depth"]
SHORT = ["--steps", 2, "--generator-steps", 1]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    root = tmp_path_factory.mktemp("backbones")
    return lambda family: write_backbone(root / family, family)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints/best.pt")["model"]


@pytest.mark.parametrize(
    "family, recipe", [("convnext", "mgm"), ("resnet", "st"), pytest.param("dinov2", "mgm", marks=pytest.mark.slow)]
)
def test_run_does_not_need_the_original_afterwards(mgm, photographs, backbone, tmp_path, family, recipe):
    original = tmp_path / "original"
    shutil.copytree(backbone(family), original)
    run = tmp_path / "run"
    options = ["--encoder", f"hf:{original}", "--encoder-rate-factor", "0.1", "--no-baseline", *SHORT]
    mgm.done("train", recipe, *TINY, "--data", photographs, *options, "--out", run)
    shutil.rmtree(original)
    assert from_yaml(run / "config.yaml").model.backbone["backbone"]["model_type"] == family
    out = mgm.done("evaluate", run, "--json")
    result = json.loads((run / "result.json").read_text())
    assert result["pretrained"] == "hf:original"
    assert json.loads(out)["pretrained"] == "hf:original"
    assert json.loads(out)["scores"]["depth"]["rmse_m"] == pytest.approx(result["test"]["depth"]["rmse_m"], rel=1e-5)
    assert "| mgm † |" in (run / "table.md").read_text() or recipe != "mgm"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    assert mgm("predict", run, tmp_path / "a.png", "--out", tmp_path / "out")[0] == 0


def test_frozen_encoder_stays_as_it_was_saved(mgm, photographs, backbone, tmp_path):
    from safetensors.torch import load_file

    folder = backbone("resnet")
    run = tmp_path / "run"
    options = ["--encoder", f"hf:{folder}", "--freeze-encoder", *SHORT]
    mgm.done("train", "mt", *TINY, "--data", photographs, *options, "--out", run)
    trained = weights(run)
    saved = {key.removeprefix("resnet."): value for key, value in load_file(folder / "model.safetensors").items()}
    own = {key.removeprefix("encoder.backbone."): value for key, value in trained.items() if key.startswith("encoder.")}
    assert len(own) > 20
    for key, value in own.items():
        assert torch.equal(value, saved[key]), key


def test_killed_run_resumes_without_the_original(mgm, interrupted, photographs, backbone, tmp_path):
    original = tmp_path / "original"
    shutil.copytree(backbone("swin"), original)
    command = ["train", "mt", *TINY, "--data", photographs, "--encoder", f"hf:{original}", "--out"]
    assert mgm(*command, tmp_path / "whole")[0] == 0
    with interrupted(lambda trainer, stage, index: trainer.steps_done == 5):
        assert mgm(*command, tmp_path / "killed")[0] == 130
    shutil.rmtree(original)
    mgm.done("train", "--resume", tmp_path / "killed")
    whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(value, killed[key]) for key, value in whole.items())


def test_settings_of_another_encoder_are_replaced(backbone):
    experiment = with_structure(with_settings(make_experiment("mt", "tiny"), encoder=f"hf:{backbone('resnet')}"))
    assert experiment.model.backbone["backbone"]["model_type"] == "resnet"
    experiment = with_structure(with_settings(experiment, encoder=f"hf:{backbone('swin')}"))
    assert experiment.model.backbone["backbone"]["model_type"] == "swin"
    assert with_structure(experiment) == experiment
    assert with_structure(with_settings(experiment, encoder="resnet")).model.backbone == {}


ERRORS = [
    (["mgm", "--encoder", "resnet50"], "unknown encoder 'resnet50'"),
    (["mgm", "--encoder", "hf:/nowhere"], "no encoder '/nowhere'"),
    (["cross_stitch", "--encoder", "hf:/nowhere"], "those that can: multi_task, single_task, task_groups"),
    (["adashare", "--encoder", "hf:/nowhere"], "cannot take a pre-trained encoder"),
    (["mt", "--freeze-encoder"], "would keep random weights"),
    (["mt", "--encoder-rate-factor", "0"], "encoder_rate_factor is 0.0"),
]


@pytest.mark.parametrize(
    "arguments, message", ERRORS, ids=lambda value: "-".join(value) if isinstance(value, list) else ""
)
def test_errors_leave_nothing_behind(mgm, photographs, tmp_path, arguments, message):
    assert message in mgm.refused("train", *arguments, *TINY, "--data", photographs, "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_losses_that_a_frozen_encoder_leaves_without_effect(mgm, photographs, backbone, tmp_path):
    options = ["--encoder", f"hf:{backbone('resnet')}", "--freeze-encoder"]
    options += [*TINY, "--data", photographs, "--out", tmp_path / "r"]
    assert "would train nothing of M" in mgm.refused("train", "mgm", *options)
    assert "a frozen encoder gets none" in mgm.refused("train", "mt", *options, "--balance", "torchjd:MGDA")
    assert not (tmp_path / "r").exists()
