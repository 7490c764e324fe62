"""A trained network in use: by run or model folder, at any size, mirrored; and what loading does not import."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fakes import FakeSource
from mgm.data.loading import StoreReader
from mgm.data.store import build_store
from mgm.errors import ConfigError, DataError, RunError
from mgm.functional.levels import normalise_levels
from mgm.inference.model import TrainedModel
from mgm.models import MODELS
from mgm.tasks import TASKS, make_tasks
from mgm.training.checkpoint import save_checkpoint
from trained_toys import CLASSES, toy_settings, write_run

SIDE = 32


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return np.array(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture(scope="module")
def model(run):
    return TrainedModel.load(run, "cpu")


def assert_same(first, second, atol=0.0):
    assert list(first) == list(second)
    for name, value in first.items():
        assert value.dtype == second[name].dtype
        if atol and name != "semantic":
            torch.testing.assert_close(value, second[name], atol=atol, rtol=0)
        else:
            assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("fit", ["resize", "pad", "tile"])
@pytest.mark.parametrize("size", [(75, 41), (20, 20), (31, 200)])
def test_values_have_the_size_of_the_photograph(model, fit, size):
    values = model.predict(picture(*size), fit=fit)
    assert values["semantic"].shape == size
    assert values["semantic"].dtype == torch.int64
    assert values["depth"].shape == (1, *size)
    torch.testing.assert_close(values["normal"].norm(dim=0), torch.ones(size))


def test_every_fit_of_a_photograph_of_the_networks_size_is_the_network(model):
    pixels = picture(SIDE, SIDE)
    images = normalise_levels(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    raw = model.predict_batch(images)
    expected = {name: task.decode(raw[name])[0] for name, task in model.tasks.items()}
    for fit in ("resize", "pad", "tile"):
        assert_same(model.predict(pixels, fit=fit), expected)


def test_prediction_and_training_see_the_same_numbers(tmp_path):
    store = build_store(FakeSource(count=3), SIDE, tmp_path / "store", workers=1)
    trained_on = StoreReader(store, ("depth",), torch.device("cpu")).batch(np.array([1])).images
    levels = torch.from_numpy(np.array(store.arrays["image"][1]))
    assert torch.equal(normalise_levels(levels)[None], trained_on)


def test_many_windows_go_in_parts_and_come_out_the_same(model, monkeypatch):
    pixels = picture(50, 300)
    whole = model.predict(pixels, fit="tile")
    monkeypatch.setattr("mgm.inference.model.WINDOWS_AT_ONCE", 3)
    parts = model.predict(pixels, fit="tile")
    torch.testing.assert_close(whole["depth"], parts["depth"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("fit", ["resize", "pad", "tile"])
def test_strips_of_a_large_photograph_come_out_the_same(model, monkeypatch, fit):
    pixels = picture(150, 190)
    whole = model.predict_with_confidence(pixels, fit=fit)
    monkeypatch.setattr("mgm.inference.model.STRIP_PIXELS", 7 * 190)
    parts = model.predict_with_confidence(pixels, fit=fit)
    for values, same in zip(whole, parts, strict=True):
        for name in model.tasks:
            if values[name].is_floating_point():
                torch.testing.assert_close(values[name], same[name], atol=1e-4, rtol=1e-4)
            else:
                assert (values[name] == same[name]).float().mean() > 0.999


@pytest.mark.parametrize("fit", ["resize", "pad", "tile"])
def test_flip_averaging_does_not_know_left_from_right(model, fit):
    """The average over a photograph and its mirror image commutes with mirroring; normals change the sign of x."""
    pixels = picture(32, 64)  # sizes that are halved exactly: rounding of levels knows left from right
    values = model.predict(pixels, fit=fit, flip_average=True)
    mirrored = model.predict(np.ascontiguousarray(pixels[:, ::-1]), fit=fit, flip_average=True)
    for name, task in model.tasks.items():
        expected = task.flip(values[name][None])[0]
        if name == "semantic":
            assert (mirrored[name] == expected).float().mean() > 0.99
        else:
            torch.testing.assert_close(mirrored[name], expected, atol=1e-4, rtol=0)
    assert not torch.allclose(values["depth"], model.predict(pixels, fit=fit)["depth"], atol=1e-4)


@pytest.mark.parametrize("fit", ["resize", "pad", "tile"])
@pytest.mark.parametrize("flip_average", [False, True])
def test_confidence_comes_beside_the_same_values(model, fit, flip_average):
    pixels = picture(40, 60)
    values, confidence = model.predict_with_confidence(pixels, fit=fit, flip_average=flip_average)
    assert_same(values, model.predict(pixels, fit=fit, flip_average=flip_average))
    for name in model.tasks:
        assert confidence[name].shape == (40, 60)
        assert confidence[name].min() >= 0
        assert confidence[name].max() <= 1


def test_confidence_is_of_what_is_shown_and_of_the_mirrored_photograph(model):
    pixels = picture(SIDE, SIDE)
    images = normalise_levels(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    raw, mirrored = model.predict_batch(images), model.predict_batch(images.flip(-1))
    confidence = model.predict_with_confidence(pixels)[1]
    torch.testing.assert_close(confidence["semantic"], raw["semantic"][0].softmax(0).amax(0))
    apart = (raw["depth"] - mirrored["depth"].flip(-1))[0, 0].abs()
    assert apart.max() > 1e-3
    torch.testing.assert_close(confidence["depth"], 1 - apart.clamp(max=1))
    average = model.predict_with_confidence(pixels, flip_average=True)[1]
    torch.testing.assert_close(average["depth"], 1 - apart.clamp(max=2) / 2, atol=1e-5, rtol=0)
    both = (raw["semantic"] + mirrored["semantic"].flip(-1))[0] / 2
    torch.testing.assert_close(average["semantic"], both.softmax(0).amax(0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", list(TASKS))
def test_mirror_is_flip_in_the_space_of_predictions(name):
    task = make_tasks([name], CLASSES)[name]
    prediction = torch.rand(2, task.channels, 5, 6)
    torch.testing.assert_close(task.decode(task.mirror(prediction)), task.flip(task.decode(prediction)))
    assert torch.equal(task.mirror(task.mirror(prediction)), prediction) or name == "normal"


@pytest.mark.parametrize("name", list(TASKS))
def test_decoding_at_a_size_is_resizing_and_decoding(name):
    task = make_tasks([name], tuple(map(str, range(20))))[name]
    prediction = torch.randn(2, task.channels, 8, 8)
    for size in ((19, 23), (5, 4), (8, 8)):
        assert torch.equal(task.decode_at(prediction, size), task.decode(task.resize(prediction, size)))


@pytest.mark.parametrize("architecture", list(MODELS))
def test_model_folder_predicts_what_the_run_predicts(tmp_path, architecture):
    trained = TrainedModel.load(write_run(tmp_path / "run", toy_settings(architecture)))
    trained.save_pretrained(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    loaded = TrainedModel.from_pretrained(tmp_path / "model")
    assert loaded.info.classes == CLASSES
    assert_same(loaded.predict(picture(40, 60)), trained.predict(picture(40, 60)))


def test_what_lies_in_no_folder(tmp_path, run):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="neither a run .* nor a model"):
        TrainedModel.load(tmp_path / "empty")
    with pytest.raises(RunError, match="no run folder"):
        TrainedModel.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="unknown fit"):
        TrainedModel.load(run).predict(picture(9, 9), fit="squeeze")
    with pytest.raises(DataError, match=r"nothing\.jpg"):
        TrainedModel.load(run).predict(tmp_path / "nothing.jpg")


def test_weights_of_another_network(tmp_path):
    run = write_run(tmp_path / "run")
    save_checkpoint(run / "checkpoints/best.pt", {"model": {"encoder.layers.0.weight": torch.zeros(3)}})
    with pytest.raises(RunError, match="do not fit its settings"):
        TrainedModel.load(run)


def test_loading_and_predicting_imports_nothing_that_only_training_needs(run):
    code = (
        "import sys, numpy, mgm\n"
        f"mgm.load({str(run)!r}).predict(numpy.zeros((20, 30, 3), numpy.uint8))\n"
        "heavy = {'lightning_fabric', 'torchmetrics', 'kornia', 'matplotlib', 'scipy', 'transformers', 'huggingface_hub', 'onnx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
