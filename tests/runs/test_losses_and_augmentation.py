"""Losses and augmentation as settings: what they change in a run, what they leave alone, and what cannot be."""

import json

import pytest
import torch

from mgm.config import DataConfig, Experiment
from mgm.method.recipes import make_experiment
from mgm.runs.augmentation import mixing
from mgm.runs.data import ExperimentData, load_data
from mgm.runs.folder import RunFolder
from mgm.runs.loaders import make_loaders, zoom_at
from mgm.tasks import TASKS
from toys import with_settings

pytestmark = pytest.mark.usefixtures("without_pictures")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    settings = {"num_images": 60, "fraction": 0.5, "tasks": ("semantic", "depth"), "extra_images": "weak", "steps": 12}
    return with_settings(make_experiment("mgm", "tiny"), **settings)


@pytest.fixture(scope="module")
def data(experiment) -> ExperimentData:
    return load_data(experiment, CPU)


def batches(experiment: Experiment, data: ExperimentData) -> dict[str, torch.Tensor]:
    return {name: feed(3, 8).images for name, feed in make_loaders(experiment, data).items()}


@pytest.mark.parametrize("mix", ["cutmix", "classes", "objects"])
def test_labelled_images_alone_are_mixed(experiment, data, mix):
    plain = batches(experiment, data)
    mixed = make_loaders(with_settings(experiment, mix=mix, mix_share=1.0), data)
    assert plain.keys() == mixed.keys() == {"labelled", "generator", "extra"}
    for name in ("generator", "extra"):
        assert torch.equal(mixed[name](3, 8).images, plain[name])
    batch = mixed["labelled"](3, 8)
    assert not torch.equal(batch.images, plain["labelled"])
    assert torch.equal(batch.real_images, plain["labelled"])
    assert torch.equal(mixed["labelled"](3, 8).images, batch.images)  # of the step alone


@pytest.mark.parametrize("changes", [{"zoom": (0.5, 0.5)}, {"colour": 0.6}, {"hue": 0.3}])
def test_images_of_every_kind_are_changed_alike(experiment, data, changes):
    plain, changed = batches(experiment, data), batches(with_settings(experiment, **changes), data)
    assert all(not torch.equal(plain[name], changed[name]) for name in plain)


def test_the_last_steps_see_labelled_and_extra_images_whole(experiment, data):
    still = with_settings(experiment, zoom=(1.0, 1.0))
    zoomed = with_settings(experiment, zoom=(2.0, 2.0), zoom_share=0.75)
    steps = experiment.training.steps
    for step in (0, steps * 3 // 4 - 1, -(-steps * 3 // 4), steps - 1):
        whole, found = (make_loaders(each, data) for each in (still, zoomed))
        for name in whole:
            own = step - experiment.training.steps_alone if name == "extra" else step  # extra images count joint steps
            if own >= 0:
                same = torch.equal(whole[name](own, 8).images, found[name](own, 8).images)
                assert same == (name != "generator" and step >= 0.75 * steps), (name, step)


def test_every_recipe_has_the_same_zoom_at_every_step():
    for step in range(8):
        recipes = (make_experiment(name, "small") for name in ("mt", "mgm", "mgm_no_generator"))
        assert len({zoom_at(recipe, 350 * step) for recipe in recipes}) == 1


def test_extra_composites_are_what_they_were(experiment, data):
    extra = with_settings(experiment, extra_images="composites")
    plain, mixed = batches(extra, data), batches(with_settings(extra, mix="cutmix"), data)
    assert torch.equal(plain["extra"], mixed["extra"])


@pytest.mark.parametrize(
    "changes", [{"mix_count": 2}, {"mix_flip": True}, {"mix_scale": (1.5, 1.5)}, {"mix_match": 1.0}], ids=str
)
def test_variants_of_what_is_pasted_hold_for_mixed_images_and_extra_composites(experiment, data, changes):
    extra = with_settings(experiment, extra_images="composites")
    plain = batches(with_settings(extra, mix="cutmix", mix_share=1.0), data)
    varied = batches(with_settings(extra, mix="cutmix", mix_share=1.0, **changes), data)
    changed = {name for name, values in plain.items() if not torch.equal(values, varied[name])}
    assert changed == {"labelled", "extra"}


def test_without_augmentation_images_are_as_they_are(experiment, data):
    off = with_settings(experiment, augment=False)
    assert all(
        torch.equal(values, batches(with_settings(off, zoom=(0.5, 0.5), hue=0.3, mix="auto"), data)[name])
        for name, values in batches(off, data).items()
    )


def test_tasks_of_a_run_train_by_the_chosen_losses(experiment):
    tasks = load_data(with_settings(experiment, losses=("depth:log",)), CPU).tasks
    assert {name: task.loss_name for name, task in tasks.items()} == {"semantic": "cross_entropy", "depth": "log"}


def test_choices_of_mix_are_those_of_the_composites():
    from typing import get_args, get_type_hints

    from mgm.data.composites import PIECES

    assert set(get_args(get_type_hints(DataConfig)["mix"])) == {"none", "auto", *PIECES}


def test_a_run_with_all_of_it_and_its_baseline(mgm, tmp_path):
    losses = ("semantic:lovasz", "depth:log_gradient", "normal:angle")
    options = ("--losses", *losses, "--mix", "objects", "--zoom", "0.7", "1.5", "--hue", "0.1")
    options += ("--accumulate", "2", "--checkpoint-activations", "--channels-last", "never")
    tasks = ("--tasks", "semantic", "depth", "normal")
    steps = ("--steps", "2", "--generator-steps", "1", "--num-images", "40")
    mgm.done("train", "mgm", "--preset", "tiny", *tasks, *options, *steps, "--out", tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "run/baseline"):
        experiment = RunFolder(folder).experiment()
        assert experiment.method.losses == losses
        assert (experiment.data.mix, experiment.data.zoom) == ("objects", (0.7, 1.5))
        # metrics are those of every run, whatever it trains by
        test = json.loads((folder / "result.json").read_text())["test"]
        assert all(list(test[name]) == list(TASKS[name].metrics_info) for name in ("semantic", "depth", "normal"))
    assert "mIoU" in mgm.done("evaluate", tmp_path / "run")


def test_auto_mixes_classes_where_there_is_a_segmentation_and_rectangles_elsewhere(experiment, data):
    config = with_settings(experiment, mix="auto").data
    assert mixing(config, data.tasks).pieces == "classes"
    assert mixing(config, {"depth": data.tasks["depth"]}).pieces == "cutmix"
