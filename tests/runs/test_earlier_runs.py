"""Runs that build upon finished ones: their generators, their predictions as labels, their encoder."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from fakes import write_camvid
from mgm.cli.train import parse_train
from mgm.config import Experiment
from mgm.inference.model import TrainedModel
from mgm.method.recipes import make_experiment
from mgm.models.base import MultiTaskModel
from mgm.runs import train as run
from mgm.runs.annotator import make_annotator
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder
from mgm.runs.loaders import make_loaders
from mgm.runs.saved_generators import even_shares
from mgm.training.checkpoint import load_checkpoint
from toys import toy_batch, with_settings

pytestmark = pytest.mark.usefixtures("without_pictures")
CPU = torch.device("cpu")
TINY = ["--preset", "tiny", "--no-baseline"]
SHORT = ["--steps", 2, "--generator-steps", 1]


def train(recipe: str, out: Path, *options: object) -> None:
    """A run without its pictures, which take longer than the training."""
    experiment = parse_train([recipe, *map(str, options), *TINY]).experiment
    run.train(experiment, out, baseline=False)


@pytest.fixture(scope="module")
def runs(photographs, tmp_path_factory) -> Path:
    """A folder of finished runs: ``mgm`` on all tasks, ``semantic`` on one, with a smaller latent, both with a generator."""
    folder = tmp_path_factory.mktemp("runs")
    train("mgm", folder / "mgm", "--data", photographs)
    train("mgm", folder / "semantic", "--data", photographs, "--tasks", "semantic", "--latent-size", 8)
    return folder


@pytest.fixture(scope="module")
def road(tmp_path_factory) -> Path:
    """A run on another data set: other classes, other scenes."""
    folder = tmp_path_factory.mktemp("road")
    data = write_camvid(folder / "camvid", counts=(4, 2, 2))
    train("mt", folder / "run", "--data", data, "--split", "official", "--steps", 2)
    return folder / "run"


def experiment_on(photographs: Path, recipe: str, **method: object) -> Experiment:
    return with_settings(make_experiment(recipe, "tiny"), data=str(photographs), **method)


def test_even_shares():
    assert even_shares(9, 3, 5) == [3, 3, 3]
    assert [even_shares(4, 3, turn) for turn in range(3)] == [[2, 1, 1], [1, 2, 1], [1, 1, 2]]
    assert [sum(column) for column in zip(*(even_shares(2, 3, turn) for turn in range(3)), strict=True)] == [2, 2, 2]


def test_images_of_several_generators_in_equal_shares(photographs, runs):
    names = (str(runs / "mgm"), str(runs / "semantic"))
    experiment = experiment_on(photographs, "mgm_combine", generator_runs=names)
    data = load_data(experiment, CPU)
    feed = make_loaders(experiment, data)["extra"]
    batch = feed(0, 6)
    assert batch.images.shape == (6, 3, 32, 32)
    assert batch.images.abs().max() <= 1
    assert not batch.images.requires_grad
    assert batch.targets == {}
    assert batch.scene.sum(1).tolist() == [1.0] * 6
    again, other = feed(0, 6), feed(1, 6)
    assert torch.equal(batch.images, again.images), "a resumed run sees the same ones"
    assert not torch.equal(batch.images, other.images)
    alone = make_loaders(with_settings(experiment, generator_runs=names[:1]), data)["extra"](0, 3)
    assert torch.equal(alone.images, batch.images[:3]), "the first half is the first generator's"
    assert not torch.equal(alone.images, batch.images[3:])


def test_images_are_those_that_generate_draws(photographs, runs):
    """Latents are the stored means and noise, in evaluation mode: an image does not depend on those beside it."""
    from mgm.runs.saved_generators import SavedGenerator
    from mgm.training.seeding import random_generator

    generator = SavedGenerator.load(runs / "mgm", CPU)
    assert generator.latent_means.abs().max() > 0
    images, labels = generator.draw(4, random_generator(CPU, 3))
    random = random_generator(CPU, 3)
    rows = torch.randint(len(generator.labels), (4,), generator=random)
    latent = generator.latent_means[rows] + torch.randn(4, generator.latent_means.shape[1], generator=random)
    assert torch.equal(labels, generator.labels[rows])
    torch.testing.assert_close(images[:1], generator.network(latent[:1], labels[:1]))


COMBINED = ["--generator-runs", "{runs}/mgm", "{runs}/semantic"]
ANNOTATED = ["--extra-images", "saved_generators", *COMBINED, "--annotator", "{runs}/mgm"]


@pytest.mark.parametrize(
    "recipe, options",
    [
        ("mgm_combine", COMBINED),
        pytest.param("st_synthesized", ANNOTATED, marks=pytest.mark.slow),
        pytest.param("mgm", ["--encoder-run", "{runs}/semantic"], marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_to_the_same_weights(mgm, interrupted, photographs, runs, tmp_path, recipe, options):
    options = ["--data", photographs, *(option.format(runs=runs) for option in options), "--steps", 4]
    train(recipe, tmp_path / "whole", *options)
    with interrupted(lambda trainer, stage, index: stage.name == "joint" and index == 1):
        assert mgm("train", recipe, *TINY, *options, "--checkpoint-every", 1, "--out", tmp_path / "killed")[0] == 130
    assert mgm("train", "--resume", tmp_path / "killed")[0] == 0
    whole, killed = (load_checkpoint(tmp_path / name / "checkpoints/last.pt") for name in ("whole", "killed"))
    torch.testing.assert_close(whole["networks"], killed["networks"], rtol=0, atol=0)
    made = {name.split(".")[1] for name in whole["networks"]} & {"generator", "discriminator", "embedding"}
    assert bool(made) == (recipe == "mgm"), "saved generators are no part of the run"


def test_annotator_gives_its_predictions_as_targets(photographs, runs):
    experiment = experiment_on(photographs, "st_synthesized", annotator=str(runs / "semantic"))
    data = load_data(experiment, CPU)
    annotate = make_annotator(experiment, data)
    extra = replace(toy_batch(0, 3), images=toy_batch(0, 3).images.requires_grad_())
    labelled = annotate(extra)
    assert list(labelled.targets) == ["semantic"], "tasks that it has not learned have no target"
    trained = TrainedModel.load(runs / "semantic")
    expected = trained.tasks["semantic"].decode(trained.predict_batch(extra.images.detach())["semantic"])
    assert torch.equal(labelled.targets["semantic"], expected)
    assert labelled.images is extra.images
    assert torch.equal(labelled.scene, extra.scene)
    nobody = make_annotator(experiment_on(photographs, "mgm"), data)
    assert nobody(extra) is extra


def test_annotator_sees_images_at_its_own_side(photographs, runs):
    experiment = experiment_on(photographs, "st_synthesized", annotator=str(runs / "mgm"))
    data = load_data(experiment, CPU)
    annotate = make_annotator(experiment, data)
    seen = []
    with register_module_forward_pre_hook(lambda module, inputs: seen.append((module, inputs[0]))):
        targets = annotate(toy_batch(0, 2, size=64)).targets
    assert [tuple(images.shape) for module, images in seen if isinstance(module, MultiTaskModel)] == [(2, 3, 32, 32)]
    assert {name: tuple(target.shape) for name, target in targets.items()} == {
        "semantic": (2, 64, 64),
        "depth": (2, 1, 64, 64),
        "normal": (2, 3, 64, 64),
    }
    torch.testing.assert_close(targets["normal"].norm(dim=1), torch.ones(2, 64, 64))
    for name, task in data.tasks.items():
        assert task.valid(targets[name]).float().mean() > 0.5  # a network of six steps may predict depths below 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["mt", "--extra-uses", "labels", "--extra-images", "weak", "--fraction", "0.5"],
        ["mgm", "--extra-uses", "labels", "refinement"],
    ],
    ids=lambda options: options[0],
)
def test_annotated_images_of_any_source_train(mgm, photographs, runs, tmp_path, options):
    recipe, *rest = options
    annotated = ["--annotator", runs / "mgm", *rest]
    mgm.done("train", recipe, *TINY, *SHORT, "--data", photographs, *annotated, "--out", tmp_path / "r")
    records = [json.loads(line) for line in (tmp_path / "r/metrics.jsonl").read_text().splitlines()]
    losses = [record["losses"] for record in records if record["stage"] == "joint" and "losses" in record]
    assert all(values["extra_task"] > 0 for values in losses)


def test_annotated_images_of_saved_generators_and_a_baseline(mgm, photographs, runs, tmp_path):
    """The whole of Table 1 without training a generator anew; the baseline knows nothing of the earlier runs."""
    options = ["--extra-images", "saved_generators", "--generator-runs", runs / "mgm", "--annotator", runs / "mgm"]
    arguments = ["train", "st_synthesized", *TINY[:2], *SHORT, "--data", photographs, *options, "--out", tmp_path / "r"]
    mgm.done(*arguments)
    result = json.loads((tmp_path / "r/result.json").read_text())
    assert result["baseline"]["recipe"] == "st"
    method = RunFolder(tmp_path / "r/baseline").experiment().method
    assert (method.annotator, method.generator_runs, method.extra_images) == ("", (), "none")


def parts_of(run: Path, name: str) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "checkpoints/best.pt")["model"]
    return {key: value for key, value in state.items() if key.startswith(f"{name}.")}


def test_encoder_of_an_earlier_run(mgm, photographs, runs, tmp_path):
    options = ["train", "mt", *TINY, *SHORT, "--data", photographs]
    options += ["--tasks", "normal", "--encoder-run", runs / "semantic"]
    mgm.done(*options, "--freeze-encoder", "--statistics", "all", "--out", tmp_path / "frozen")
    torch.testing.assert_close(
        parts_of(tmp_path / "frozen", "encoder"), parts_of(runs / "semantic", "encoder"), rtol=0, atol=0
    )
    assert set(json.loads((tmp_path / "frozen/result.json").read_text())["test"]) == {"normal"}
    train("mt", tmp_path / "tuned", *options[5:])
    tuned, old = parts_of(tmp_path / "tuned", "encoder"), parts_of(runs / "semantic", "encoder")
    assert any(not torch.equal(tuned[key], old[key]) for key in old), "unless it is frozen it goes on learning"


@pytest.mark.parametrize("setting", ["--annotator", "--generator-runs", "--encoder-run"])
def test_unfinished_runs_are_refused(mgm, photographs, runs, tmp_path, setting):
    half = tmp_path / "half"
    shutil.copytree(runs / "mgm", half)
    (half / "result.json").unlink()
    recipe = {"--annotator": "st_synthesized", "--generator-runs": "mgm_combine", "--encoder-run": "mt"}[setting]
    err = mgm.refused("train", recipe, *TINY, "--data", photographs, setting, half, "--out", tmp_path / "r")
    assert f"the run is not finished; continue it with: mgm train --resume {half}" in err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "recipe, options, message",
    [
        (
            "mgm_combine",
            ["--generator-runs", "{runs}/mgm", "{road}"],
            "its images show scenes of camvid (sky, building, ",
        ),
        ("mgm_combine", ["--image-size", "64", "--generator-runs", "{runs}/mgm"], "use --image-size 32"),
        ("mgm_combine", ["--weak-labels", "objects", "--generator-runs", "{runs}/mgm"], "same --weak-labels"),
        (
            "st_synthesized",
            ["--tasks", "depth", "--annotator", "{runs}/semantic"],
            "choose a run with a task in common",
        ),
        ("st_synthesized", ["--annotator", "{road}"], "has other classes than nyuv2"),
        ("mt", ["--depth", "18", "--encoder-run", "{runs}/mgm"], "its depth is 10, this run's 18; use --depth 10"),
        ("mt", ["--widths", "8", "8", "16", "32", "--encoder-run", "{runs}/mgm"], "use --widths 8 8 16 16"),
        ("mt", ["--encoder-stride", "32", "--encoder-run", "{runs}/mgm"], "this run's 32; use --encoder-stride 16"),
        ("st", ["--encoder-run", "{runs}/mgm"], "use --architecture multi_task"),
        ("mgm", ["--encoder-run", "{runs}/mgm", "--freeze-encoder"], "with a frozen encoder these losses"),
    ],
)
def test_runs_that_do_not_fit_are_refused(mgm, photographs, runs, road, tmp_path, recipe, options, message):
    options = [option.format(runs=runs, road=road) for option in options]
    assert message in mgm.refused("train", recipe, *TINY, "--data", photographs, *options, "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_encoder_of_other_tasks_has_to_be_shared(mgm, photographs, tmp_path):
    train("st", tmp_path / "st", "--data", photographs, "--tasks", "semantic", "depth", "--steps", 2)
    options = ["--tasks", "normal", "--encoder-run", tmp_path / "st"]
    code, _, err = mgm("train", "st", *TINY, "--data", photographs, *options, "--out", tmp_path / "r")
    assert code == 2
    assert "learned semantic, depth; with other tasks only the shared encoder" in err


def test_generator_of_a_run_that_trained_none(mgm, photographs, runs, tmp_path):
    train("mt", tmp_path / "mt", "--data", photographs, "--steps", 2)
    options = ["--generator-runs", runs / "mgm", tmp_path / "mt"]
    code, _, err = mgm("train", "mgm_combine", *TINY, "--data", photographs, *options, "--out", tmp_path / "r")
    assert code == 2
    assert f"{tmp_path / 'mt'} holds no generator" in err


def test_damaged_weights_are_refused(mgm, photographs, runs, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(runs / "mgm", broken)
    torch.save({"model": {}}, broken / "checkpoints/best.pt")
    err = mgm.refused("train", "mt", *TINY, "--data", photographs, "--encoder-run", broken, "--out", tmp_path / "r")
    assert "holds no encoder" in err
