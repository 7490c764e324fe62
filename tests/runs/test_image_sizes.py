"""Images that grow during a training."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import mgm as mgm_api
from fake_folder import picture_arrays, write_own
from mgm.data.augment import resize
from mgm.method.recipes import make_experiment
from mgm.runs.data import load_data
from mgm.runs.loaders import make_loaders, size_at
from mgm.tasks import make_tasks
from synthetic import synthetic_batch
from toys import with_settings

pytestmark = pytest.mark.usefixtures("without_pictures")
TINY = ["--preset", "tiny", "--num-images", 40, "--image-size", 64]


def growing(recipe="mt", *, steps=90, share=1 / 3, sizes=(32, 48), size: int | tuple[int, int] = 64, **data):
    settings = {"image_size": size, "steps": steps, "joint_share": share, "early_sizes": sizes, **data}
    return with_settings(make_experiment(recipe, "tiny"), **settings)


def test_sizes_take_equal_parts_before_joint_training_and_the_whole_image_follows():
    sizes = [size_at(growing(), step) for step in range(90)]
    assert sizes == [(32, 32)] * 20 + [(48, 48)] * 20 + [(64, 64)] * 50


def test_sizes_have_the_shape_of_the_last():
    sizes = [size_at(growing(sizes=(48,), size=(96, 128)), step) for step in (0, 89)]
    assert sizes == [(48, 64), (96, 128)]


def test_without_early_sizes_nothing_changes():
    assert {size_at(growing(sizes=()), step) for step in range(90)} == {(64, 64)}


def test_every_recipe_sees_the_size_of_the_baseline_at_every_step():
    for step in range(90):
        assert len({size_at(growing(recipe), step) for recipe in ("mt", "mgm", "mgm_no_generator")}) == 1


@pytest.mark.parametrize("augment", [True, False])
def test_labelled_images_grow_and_no_others(augment):
    experiment = growing("mgm", num_images=40, augment=augment)
    data = load_data(experiment, torch.device("cpu"))
    feeds = make_loaders(experiment, data)
    for step, side in ((0, 32), (20, 48), (40, 64), (89, 64)):
        batch = feeds["labelled"](step, 4)
        assert batch.images.shape == (4, 3, side, side)
        assert batch.targets["semantic"].shape == (4, side, side)
        assert batch.targets["depth"].shape == (4, 1, side, side)
        assert feeds["generator"](step, 4).images.shape[-1] == 64


def test_resized_labels_are_those_of_the_pixels_below_them():
    tasks = make_tasks(("semantic", "depth"), ("wall", "floor"))
    batch = synthetic_batch(tasks, (64, 64), 2, torch.device("cpu"), 0)
    small = resize(batch, (32, 32), tasks)
    for name, target in batch.targets.items():
        # the centre of a new pixel lies between four old ones; one of them it is
        candidates = torch.stack([target[..., i::2, j::2] for i in (0, 1) for j in (0, 1)])
        new = small.targets[name]
        same = (candidates == new) | (candidates.isnan() & new.isnan())
        assert same.any(dim=0).all(), name
    expected = torch.nn.functional.interpolate(batch.images, (32, 32), mode="area")
    assert (small.images - expected).abs().mean() < 0.25 * batch.images.std()


@pytest.mark.slow
def test_images_of_any_shape_from_training_to_files(mgm, interrupted, tmp_path):
    """The full method on letterboxed images that grow, stopped as they do and continued; then every verb that uses the run."""
    data = write_own(tmp_path / "own", 24)  # 40 x 30 pixels
    options = ["--preset", "tiny", "--data", data, "--image-size", "32x64", "--aspect", "letterbox", "--no-baseline"]
    options += ["--early-sizes", 16, "--steps", 4, "--generator-steps", 1, "--checkpoint-every", 1]
    whole, part = tmp_path / "whole", tmp_path / "part"
    mgm.done("train", "mgm", *options, "--out", whole)
    with interrupted(lambda trainer, stage, index: trainer.steps_done == 1):
        assert mgm("train", "mgm", *options, "--out", part)[0] == 130
    mgm.done("train", "--resume", part)
    results = [json.loads((run / "result.json").read_text()) for run in (whole, part)]
    assert results[0]["test"] == results[1]["test"]
    assert (results[0]["image_size"], results[0]["aspect"]) == ("32x64", "letterbox")

    again = json.loads(mgm.done("evaluate", whole, "--json"))["scores"]
    assert again["depth"]["abs_error_m"] == pytest.approx(results[0]["test"]["depth"]["abs_error_m"], rel=1e-4)

    Image.fromarray(picture_arrays(0, (70, 50))["rgb"]).save(tmp_path / "photo.png")
    model, shown = tmp_path / "model", {}
    mgm.done("export", whole, "--out", model, "--format", "torch")
    for origin in (whole, model):
        out = tmp_path / f"{origin.name}-predictions"
        mgm.done("predict", origin, tmp_path / "photo.png", "--out", out, "--save", "npy,sheet")
        shown[origin] = {file.stem: np.load(file) for file in out.glob("*.npy")}
    for name, values in shown[whole].items():
        assert values.shape[-2:] == (50, 70)
        np.testing.assert_array_equal(values, shown[model][name])
    padded = mgm_api.load(whole).predict(tmp_path / "photo.png", fit="pad")
    np.testing.assert_allclose(padded["depth"].numpy(), shown[whole]["photo_depth"], rtol=1e-5)
    assert "32 x 64 pixels" in (model / "README.md").read_text()

    mgm.done("generate", whole, "--num", 1, "--out", tmp_path / "generated.png")
    images = mgm_api.generate(whole, 1, device="cpu")
    assert {tuple(scene.shape) for scene in images.values()} == {(1, 3, 32, 64)}
    mgm.done("report", whole)
    assert "32 × 64 px (height × width), images of another shape scaled to fit" in (whole / "report.html").read_text()
