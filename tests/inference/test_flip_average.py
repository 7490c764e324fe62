"""What `--flip-average` sets for a run: its scores, and every prediction of its model from then on, unless told otherwise."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mgm.config import Experiment
from mgm.inference.export import PredictionGraph, export_model
from mgm.inference.model import load
from mgm.method.recipes import make_experiment
from mgm.report.html.run_facts import setting
from trained_toys import INFO, toy_settings, write_run

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def settings(**data: bool) -> Experiment:
    experiment = toy_settings()
    model = replace(experiment.model, flip_average=True)
    return replace(experiment, model=model, data=replace(experiment.data, **data))


def depth_of(path: Path, flip_average: bool | None = None) -> torch.Tensor:
    return load(path, "cpu").predict(PICTURE, flip_average=flip_average)["depth"]


@pytest.mark.parametrize("preset", ["quick", "small", "best"])
def test_presets_average_and_those_of_the_paper_do_not(preset):
    assert make_experiment("mgm", preset).flip_average
    assert not make_experiment("mgm", "paper").flip_average


@pytest.mark.parametrize("unmirrored", [{"flip": False}, {"augment": False}])
def test_what_has_never_seen_a_mirrored_image_is_not_asked_for_one(unmirrored):
    assert settings().flip_average
    assert not settings(**unmirrored).flip_average


def test_the_model_of_the_run_averages_and_so_do_the_folder_and_the_graph(tmp_path):
    run = write_run(tmp_path / "run", settings())
    shown = depth_of(run)
    assert torch.equal(shown, depth_of(run, flip_average=True))
    assert not torch.allclose(shown, depth_of(run, flip_average=False), atol=1e-4)
    export_model(load(run, "cpu"), tmp_path / "model", [])
    assert torch.equal(depth_of(tmp_path / "model"), shown)
    assert "averaged with the prediction for the mirrored image" in (tmp_path / "model" / "README.md").read_text()
    graph = PredictionGraph(load(run, "cpu")).eval()
    found = graph(torch.from_numpy(PICTURE).permute(2, 0, 1)[None])
    torch.testing.assert_close(found["depth"][0], shown, atol=1e-5, rtol=0)


def test_an_exported_model_does_not_average_if_its_training_never_mirrored(tmp_path):
    run = write_run(tmp_path / "run", settings(flip=False))
    export_model(load(run, "cpu"), tmp_path / "model", [])
    assert torch.equal(depth_of(tmp_path / "model"), depth_of(run, flip_average=False))
    assert "mirrored" not in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.usefixtures("without_pictures")
def test_the_result_of_a_run_is_what_evaluate_says(mgm, tmp_path):
    options = ["--preset", "tiny", "--steps", 2, "--num-images", 40, "--flip-average"]
    out = mgm.done("train", "mt", *options, "--out", tmp_path / "run")
    assert "predictions averaged with those for the mirrored images" in " ".join(out.split())
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["flip_average"]

    def evaluated(*switches: str, split: str = "test") -> dict[str, dict[str, float]]:
        found = json.loads(mgm("evaluate", tmp_path / "run", "--split", split, "--json", *switches)[1])
        assert found["flip_average"] == ("--no-flip-average" not in switches)
        return found["scores"]

    assert evaluated() == evaluated("--flip-average")
    for name in ("semantic", "depth", "normal"):
        assert evaluated()[name] == pytest.approx(result["test"][name])
        assert evaluated(split="validation")[name] == pytest.approx(result["validation"][name])
    assert evaluated("--no-flip-average")["depth"] != pytest.approx(result["test"]["depth"], rel=1e-6)


@pytest.mark.parametrize(("flip", "said"), [(True, ["averaged with those for the mirrored image"]), (False, [])])
def test_the_report_says_so(flip, said):
    facts = setting(settings(flip=flip), {}, INFO)
    assert [text for name, text in facts if name == "Predictions"] == said


def test_predict_has_the_switch_too(mgm, tmp_path):
    from PIL import Image

    run = write_run(tmp_path / "run", settings())
    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    for switches, flip_average in (((), None), (("--no-flip-average",), False), (("--flip_average",), True)):
        out = tmp_path / f"out{flip_average}"
        mgm.done("predict", run, tmp_path / "picture.png", "--out", out, "--save", "npy", *switches)
        np.testing.assert_allclose(np.load(out / "picture_depth.npy"), depth_of(run, flip_average), atol=1e-5)
