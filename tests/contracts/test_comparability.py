"""What makes recipes comparable: the same minibatches, the same initial weights, the same number of task updates."""

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from mgm.config import Experiment
from mgm.method.algorithm import joint_updates, stages
from mgm.method.networks import build_networks
from mgm.method.recipes import RECIPES, make_experiment
from mgm.runs.data import load_data
from mgm.runs.loaders import make_loaders
from mgm.training.updates import trained_networks
from mgm.types import Batch
from toys import NUM_SCENES, toy_tasks, with_runs

DOCS = Path(__file__).parents[2] / "docs"
MODES = ("separate", "combined")


def experiment_of(recipe: str, preset: str = "tiny") -> Experiment:
    return with_runs(make_experiment(recipe, preset))


@cache
def labelled_batches(recipe: str, photographs: Path) -> list[Batch]:
    experiment = experiment_of(recipe)
    config = replace(experiment.data, data=str(photographs), tasks=("semantic", "depth", "normal"), fraction=0.7)
    model = replace(experiment.model, decoder="pyramid", loss_stride=2)
    experiment = replace(experiment, data=config, model=model)
    loaders = make_loaders(experiment, load_data(experiment, torch.device("cpu")))
    return [loaders["labelled"](step, 4) for step in (0, 1, 5)]


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "mgm_combine"])  # it needs finished runs
def test_every_recipe_sees_the_same_labelled_minibatches(photographs, recipe):
    for left, right in zip(*(labelled_batches(name, photographs) for name in ("mt", recipe)), strict=True):
        assert torch.equal(left.images, right.images)
        assert left.targets.keys() == right.targets.keys()
        for task in left.targets:
            torch.testing.assert_close(left.targets[task], right.targets[task], rtol=0, atol=0, equal_nan=True)


@cache
def initial_weights(recipe: str) -> dict[str, torch.Tensor]:
    experiment = experiment_of(recipe)
    names = trained_networks(stages(experiment))
    networks = build_networks(
        names, toy_tasks(), experiment.model, image_size=32, num_scenes=NUM_SCENES, seed=experiment.seed
    )
    return dict(networks.state_dict())


@pytest.mark.parametrize("recipe", RECIPES)
def test_common_networks_begin_with_the_same_weights(recipe):
    """Those of the method, or of the baseline, with the same networks."""
    model = experiment_of(recipe).model
    reference = next(
        name for name in ("mgm", "mt", *RECIPES) if experiment_of(name).model == replace(model, generator="sagan")
    )
    theirs, ours = initial_weights(reference), initial_weights(recipe)
    common = {
        key for key in ours if key in theirs and (reference == recipe or model.generator == "sagan" or "model." in key)
    }
    assert {key for key in ours if key.startswith("model.")} <= common
    assert all(torch.equal(ours[key], theirs[key]) for key in common)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_makes_as_many_task_updates(recipe, mode):
    experiment = experiment_of(recipe, "paper")
    experiment = replace(experiment, training=replace(experiment.training, optimizer_step=mode))
    on_photographs = [stage for stage in stages(experiment) if stage.data != "pretrain"]
    steps = sum(stage.steps for stage in on_photographs for update in stage.updates if update.name == "task")
    assert steps == experiment.training.steps


def encoder_updates(recipe: str, mode: str) -> int:
    """Losses that reach the encoder in a step of joint training."""
    updates = joint_updates(experiment_of(recipe, "paper").method, combined=mode == "combined")
    return sum("encoder" in update.trains for update in updates)


def test_the_control_makes_as_many_encoder_updates_as_the_method():
    for mode, count in (("separate", 7), ("combined", 6)):
        assert encoder_updates("mgm", mode) == encoder_updates("mgm_control", mode) == count
    names = [update.name for update in joint_updates(experiment_of("mgm_control", "paper").method)]
    assert Counter(names) == {
        "task": 1, "refinement": 1, "self_supervision": 1, "extra_refinement": 2, "extra_self_supervision": 2,
    }  # fmt: skip


def test_the_documents_quote_the_encoder_updates():
    rows = [
        f"| `{name}` | {encoder_updates(name, 'separate')} | {encoder_updates(name, 'combined')} |" for name in RECIPES
    ]
    table = "\n".join(["| recipe | separate | combined |", "| --- | --: | --: |", *rows])
    print(table)
    assert table in (DOCS / "reproducing.md").read_text(), "docs/reproducing.md quotes this table"
