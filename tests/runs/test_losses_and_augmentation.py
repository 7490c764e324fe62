"""Losses and augmentation as settings: what they change in a run, what they leave alone, and what cannot be."""

import json
from dataclasses import replace

import pytest
import torch

from mgm.config import DataConfig, Experiment
from mgm.errors import ConfigError
from mgm.method.recipes import make_experiment
from mgm.runs.augmentation import mixing
from mgm.runs.checks import check_experiment
from mgm.runs.data import ExperimentData, load_data
from mgm.runs.folder import RunFolder
from mgm.runs.loaders import make_loaders, zoom_at
from mgm.tasks import TASKS

pytestmark = pytest.mark.usefixtures("without_pictures")
CPU = torch.device("cpu")


def with_data(experiment: Experiment, **changes) -> Experiment:
    return replace(experiment, data=replace(experiment.data, **changes))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    base = with_data(make_experiment("mgm", "tiny"), num_images=60, fraction=0.5, tasks=("semantic", "depth"))
    return replace(base, method=replace(base.method, extra_images="weak"))


@pytest.fixture(scope="module")
def data(experiment) -> ExperimentData:
    return load_data(experiment, CPU)


def batches(experiment: Experiment, data: ExperimentData) -> dict[str, torch.Tensor]:
    return {name: feed(3, 8).images for name, feed in make_loaders(experiment, data, CPU).items()}


@pytest.mark.parametrize("mix", ["cutmix", "classes", "objects"])
def test_labelled_images_alone_are_mixed(experiment, data, mix):
    plain = batches(experiment, data)
    mixed = make_loaders(with_data(experiment, mix=mix, mix_share=1.0), data, CPU)
    assert plain.keys() == mixed.keys() == {"labelled", "generator", "extra"}
    for name in ("generator", "extra"):
        assert torch.equal(mixed[name](3, 8).images, plain[name])
    batch = mixed["labelled"](3, 8)
    assert not torch.equal(batch.images, plain["labelled"])
    assert torch.equal(batch.real_images, plain["labelled"])
    assert torch.equal(mixed["labelled"](3, 8).images, batch.images)  # of the step alone


@pytest.mark.parametrize("changes", [{"zoom": (0.5, 0.5)}, {"colour": 0.6}, {"hue": 0.3}])
def test_images_of_every_kind_are_changed_alike(experiment, data, changes):
    plain, changed = batches(experiment, data), batches(with_data(experiment, **changes), data)
    assert all(not torch.equal(plain[name], changed[name]) for name in plain)


def test_the_last_steps_see_labelled_images_whole(experiment, data):
    still = with_data(experiment, zoom=(1.0, 1.0))
    zoomed = with_data(experiment, zoom=(2.0, 2.0), zoom_share=0.75)
    steps = experiment.training.steps
    for step in (0, steps * 3 // 4 - 1, -(-steps * 3 // 4), steps - 1):
        whole, found = (make_loaders(each, data, CPU) for each in (still, zoomed))
        for name in whole:
            same = torch.equal(whole[name](step, 8).images, found[name](step, 8).images)
            assert same == (name == "labelled" and step >= 0.75 * steps), (name, step)


def test_every_recipe_has_the_same_zoom_at_every_step():
    for step in range(8):
        recipes = (replace(make_experiment(name, "small"), recipe=name) for name in ("mt", "mgm", "mgm_no_generator"))
        assert len({zoom_at(recipe, 350 * step) for recipe in recipes}) == 1


def test_extra_composites_are_what_they_were(experiment, data):
    extra = replace(experiment, method=replace(experiment.method, extra_images="composites"))
    plain, mixed = batches(extra, data), batches(with_data(extra, mix="cutmix"), data)
    assert torch.equal(plain["extra"], mixed["extra"])


@pytest.mark.parametrize(
    "changes", [{"mix_count": 2}, {"mix_flip": True}, {"mix_scale": (1.5, 1.5)}, {"mix_match": 1.0}], ids=str
)
def test_variants_of_what_is_pasted_hold_for_mixed_images_and_extra_composites(experiment, data, changes):
    extra = replace(experiment, method=replace(experiment.method, extra_images="composites"))
    plain = batches(with_data(extra, mix="cutmix", mix_share=1.0), data)
    varied = batches(with_data(extra, mix="cutmix", mix_share=1.0, **changes), data)
    changed = {name for name, values in plain.items() if not torch.equal(values, varied[name])}
    assert changed == {"labelled", "extra"}


def test_without_augmentation_images_are_as_they_are(experiment, data):
    off = with_data(experiment, augment=False)
    assert all(
        torch.equal(values, batches(with_data(off, zoom=(0.5, 0.5), hue=0.3, mix="auto"), data)[name])
        for name, values in batches(off, data).items()
    )


def test_tasks_of_a_run_train_by_the_chosen_losses(experiment):
    chosen = replace(experiment, method=replace(experiment.method, losses=("depth:log",)))
    tasks = load_data(chosen, CPU).tasks
    assert {name: task.loss_name for name, task in tasks.items()} == {"semantic": "cross_entropy", "depth": "log"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zoom": (1.5, 1.0)}, "zoom is 1.5 1; it must be two positive numbers in ascending order"),
        ({"zoom": (0.0, 1.0)}, "zoom is 0 1"),
        ({"zoom": (1.0, float("nan"))}, "zoom is nan; it must be a number"),
        ({"zoom": (1.0, float("inf"))}, "zoom is inf; it must be a number"),
        ({"colour": 1.0}, r"colour is 1; it must lie in \[0, 1\)"),
        ({"hue": 0.7}, r"hue is 0.7; it must lie in \[0, 0.5\]"),
        ({"mix_share": 0.0}, r"mix_share is 0.0; it must lie in \(0, 1\]"),
        ({"zoom_share": 1.5}, r"zoom_share is 1.5; it must lie in \(0, 1\]"),
        ({"mix_count": 0}, "mix_count is 0; it must be at least 1"),
        ({"mix_match": 1.5}, r"mix_match is 1.5; it must lie in \[0, 1\]"),
        ({"mix_scale": (2.0, 1.0)}, "mix_scale is 2 1; it must be two positive numbers"),
        ({"mix": "mixup"}, "unknown mix .mixup.*auto, classes, cutmix, none, objects"),
    ],
)
def test_settings_of_the_augmentation_that_cannot_be(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_experiment(with_data(make_experiment("mt", "tiny"), **changes))


def test_choices_of_mix_are_those_of_the_composites():
    from typing import get_args, get_type_hints

    from mgm.data.composites import PIECES

    assert set(get_args(get_type_hints(DataConfig)["mix"])) == {"none", "auto", *PIECES}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--losses", "depth:lag"), "unknown loss of depth 'lag'. Did you mean 'log'?"),
        (("--losses", "depth"), "write TASK:LOSS, for example depth:log"),
        (("--losses", "semantic:dice", "--tasks", "depth"), "semantic is not learned; the tasks are depth"),
        (("--hue", "0.9"), "hue is 0.9; it must lie in [0, 0.5]"),
        (("--mix", "objects", "--tasks", "depth", "normal"), "need the task 'semantic'"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(mgm, tmp_path, options, message):
    assert message in mgm.refused("train", "mt", "--preset", "tiny", "--out", tmp_path / "run", *options)
    assert not (tmp_path / "run").exists()


def test_a_run_with_all_of_it_and_its_baseline(mgm, tmp_path):
    losses = ("semantic:lovasz", "depth:log_gradient", "normal:angle")
    options = ("--losses", *losses, "--mix", "objects", "--zoom", "0.7", "1.5", "--hue", "0.1", "--accumulate", "2")
    tasks = ("--tasks", "semantic", "depth", "normal")
    steps = ("--steps", "2", "--generator-steps", "1", "--num-images", "40")
    code, _, error = mgm("train", "mgm", "--preset", "tiny", *tasks, *options, *steps, "--out", tmp_path / "run")
    assert code == 0, error
    for folder in (tmp_path / "run", tmp_path / "run/baseline"):
        experiment = RunFolder(folder).experiment()
        assert experiment.method.losses == losses
        assert (experiment.data.mix, experiment.data.zoom) == ("objects", (0.7, 1.5))
        # metrics are those of every run, whatever it trains by
        test = json.loads((folder / "result.json").read_text())["test"]
        assert all(list(test[name]) == list(TASKS[name].metrics_info) for name in ("semantic", "depth", "normal"))
    code, out, error = mgm("evaluate", tmp_path / "run")
    assert code == 0, error
    assert "mIoU" in out


def test_auto_mixes_classes_where_there_is_a_segmentation_and_rectangles_elsewhere(experiment, data):
    config = with_data(experiment, mix="auto").data
    assert mixing(config, data.tasks).pieces == "classes"
    assert mixing(config, {"depth": data.tasks["depth"]}).pieces == "cutmix"
