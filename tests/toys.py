"""A trainer on random images in memory: the whole algorithm without any data set."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from mgm.config import Experiment
from mgm.experiments.plans import with_options
from mgm.method.algorithm import stages
from mgm.method.networks import build_networks
from mgm.method.recipes import make_experiment
from mgm.method.training import JointSteps
from mgm.tasks import make_tasks
from mgm.training.checkpoint import load_checkpoint
from mgm.training.metrics_log import MetricsLog
from mgm.training.seeding import derive_seed
from mgm.training.step import StepInputs
from mgm.training.trainer import Loader, Progress, Trainer
from mgm.training.updates import Stage, Update, trained_networks
from mgm.types import Batch

CLASSES = ("wall", "floor", "thing")
NUM_SCENES = 3

METHODS = [
    {"refinement": refinement, "self_supervision": selfsup, "extra_images": extra}
    for refinement, selfsup, extra in [
        ("eml", "simclr", "generator"),
        ("eml_explicit", "simclr", "generator"),
        ("peoe", "simclr", "generator"),
        ("lset", "reconstruction", "generator"),
        ("eml", "reconstruction", "weak"),
        ("eml", "simclr", "frozen_generator"),
    ]
] + [
    {"extra_images": "composites", "extra_uses": ("labels", "refinement")},
    {"extra_images": "weak", "extra_uses": ("consistency", "self_supervision")},
    {"gradient_into_generator": True},
]
"""Variants of the method that between them have every kind of update."""


def toy_tasks():
    return make_tasks(("semantic", "depth", "normal"), CLASSES)


def toy_batch(seed: int, count: int, size: int = 32, *, multi_hot: bool = False) -> Batch:
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, size, size, generator=random) * 2 - 1
    normal = torch.randn(count, 3, size, size, generator=random)
    targets = {
        "semantic": torch.randint(len(CLASSES), (count, size, size), generator=random),
        "depth": torch.rand(count, 1, size, size, generator=random) * 5 + 0.5,
        "normal": normal / normal.norm(dim=1, keepdim=True),
    }
    if multi_hot:
        scene = (torch.rand(count, NUM_SCENES, generator=random) > 0.5).float()
    else:
        scene = torch.eye(NUM_SCENES)[torch.arange(count) % NUM_SCENES]
    return Batch(images, targets, scene)


def toy_experiment(recipe: str = "mgm", *, method=None, training=None, model=None) -> Experiment:
    experiment = make_experiment(recipe, "tiny")
    if "consistency" in (method or {}).get("extra_uses", ()):
        training = {"ema": 0.9, **(training or {})}
    return replace(
        experiment,
        method=replace(experiment.method, **(method or {})),
        training=replace(experiment.training, **(training or {})),
        model=replace(experiment.model, **(model or {})),
    )


def with_settings(experiment: Experiment, **changes) -> Experiment:
    """The experiment with some settings changed, in whichever group they are."""
    return with_options(experiment, tuple(changes.items()))


def with_runs(experiment: Experiment) -> Experiment:
    """The experiment with the earlier runs and the groups without which its recipe cannot be."""
    method = {"mgm_combine": {"generator_runs": ("runs/a", "runs/b")}, "st_synthesized": {"annotator": "runs/a"}}
    grouped = experiment.model.architecture == "task_groups"
    return replace(
        experiment,
        method=replace(experiment.method, **method.get(experiment.recipe, {})),
        model=replace(experiment.model, groups=("semantic+depth", "normal")) if grouped else experiment.model,
    )


def toy_trainer(
    experiment: Experiment, folder: Path, *, multi_hot: bool = False, validate=None, tasks=None, annotate=None
) -> Trainer:
    tasks = tasks or toy_tasks()
    schedule = stages(experiment)
    networks = build_networks(
        trained_networks(schedule),
        tasks,
        experiment.model,
        image_size=experiment.data.image_size,
        num_scenes=NUM_SCENES,
        seed=experiment.seed,
    )

    def feed(name) -> Loader:
        return lru_cache(1)(lambda step, count: toy_batch(derive_seed(name, step) % 2**31, count, multi_hot=multi_hot))

    loaders = {name: feed(name) for name in ("labelled", "generator", "extra", "pretrain")}
    folder.mkdir(parents=True, exist_ok=True)
    steps = JointSteps(
        networks,
        tasks,
        experiment.method,
        loaders,
        multi_hot=multi_hot,
        annotate=annotate or (lambda extra: extra),
    )
    return Trainer(
        experiment.training,
        experiment.seed,
        schedule,
        networks,
        tasks,
        loaders,
        steps,
        validate or (lambda model: ({"depth": {"abs_error_m": 1.0}}, dict.fromkeys(tasks, 0.0))),
        Fabric(accelerator="cpu", devices=1),
        folder,
        MetricsLog(folder / "metrics.jsonl"),
        Progress(),
        steps.generator_snapshot,
    )


class KilledError(Exception):
    pass


def kill_after(trainer, steps):
    """Let the trainer die in the middle of its `steps`-th step."""
    original, count = trainer.train_step, 0

    def step(stage, index):
        nonlocal count
        count += 1
        if count > steps:
            original(stage, index)
            raise KilledError
        return original(stage, index)

    trainer.train_step = step


def validate(model):
    score = float(next(model.parameters()).detach().sum())
    return {"depth": {"abs_error_m": score}}, dict.fromkeys(("semantic", "depth", "normal"), score)


def assert_same(left, right):
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            if key not in ("seconds", "shared_seconds"):
                assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            assert_same(a, b)
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    else:
        assert left == right


def assert_resumed_is_bitwise_uninterrupted(make, folder: Path, killed_after: int, whole: Path | None = None) -> None:
    """A trainer that dies and another that goes on leave the files of one that was never interrupted.

    Args:
        make: Makes a trainer in a folder.
        folder: Where they train.
        killed_after: Steps that the first one carries out.
        whole: Where the uninterrupted one has been carried out before.
    """
    if whole is None:
        make(whole := folder / "whole").run()
    killed = make(folder / "killed")
    kill_after(killed, killed_after)
    with pytest.raises(KilledError):
        killed.run()
    resumed = make(folder / "killed")
    assert resumed.restore() == (folder / "killed/last.pt").exists()
    resumed.run()
    names = {path.name for path in whole.glob("*.pt")}
    assert "last.pt" in names
    assert names == {path.name for path in (folder / "killed").glob("*.pt")}
    for name in names:
        assert_same(load_checkpoint(whole / name), load_checkpoint(folder / "killed" / name))
    assert (whole / "metrics.jsonl").read_text() == (folder / "killed/metrics.jsonl").read_text()


def snapshot(networks):
    parameters = {name: [p.detach().clone() for p in net.parameters()] for name, net in networks.items()}
    buffers = {name: [b.detach().clone() for b in net.buffers()] for name, net in networks.items()}
    return parameters, buffers


def changed(before, after):
    return {
        name
        for name in before
        if any(not torch.equal(old, new) for old, new in zip(before[name], after[name], strict=True))
    }


def run_single(trainer: Trainer, stage: Stage, update: Update) -> tuple[set[str], set[str]]:
    """Carry out one update alone on a fresh step; the networks whose parameters, and whose buffers, have changed."""
    single = Stage(stage.name, (update,), 1, 4, data=stage.data)
    for name, network in trainer.networks.items():
        network.requires_grad_(name in stage.trains)
    trainer.networks.train()
    before = snapshot(trainer.networks)
    average = trainer.average.model if trainer.average else None
    trainer.optimizer_step(single, [trainer.make_step(StepInputs(toy_batch(3, 4), 0, 1, 0, average=average))])
    after = snapshot(trainer.networks)
    return changed(before[0], after[0]), changed(before[1], after[1])
