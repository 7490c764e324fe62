"""A trainer with synthetic images, for measuring steps without a data set, files or a progress bar."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mgm.config import Experiment
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import stages
from mgm.method.networks import build_networks
from mgm.method.training import JointSteps
from mgm.runs.loaders import label_stride, with_used_labels
from mgm.tasks import make_tasks
from mgm.tasks.base import Task
from mgm.training.metrics_log import MetricsLog
from mgm.training.seeding import random_generator
from mgm.training.trainer import Progress, Trainer
from mgm.training.updates import trained_networks
from mgm.types import Batch, Size

CLASSES = tuple(f"class_{index}" for index in range(40))
"""As many classes as in NYUv2."""
TASKS = ("semantic", "depth", "normal")
NUM_SCENES = 27
"""As many scenes as in NYUv2."""


def synthetic_batch(tasks: dict[str, Task], size: Size, count: int, device: torch.device, *names: object) -> Batch:
    """Make a batch of random images and targets; equal names give equal batches.

    Args:
        tasks: Tasks to make targets for.
        size: Height and width of the images.
        count: Number of images.
        device: Device of the batch.
        names: Names of the random stream.
    """
    random = random_generator(torch.device("cpu"), "synthetic", *names)
    targets: dict[str, Tensor] = {}
    for name, task in tasks.items():
        if task.categorical:
            targets[name] = torch.randint(task.channels, (count, *size), generator=random)
        else:
            targets[name] = torch.rand(count, task.channels, *size, generator=random) + 0.5
    images = torch.rand(count, 3, *size, generator=random) * 2 - 1
    scene = torch.eye(NUM_SCENES)[torch.randint(NUM_SCENES, (count,), generator=random)]
    return Batch(images, targets, scene).to(device)


def synthetic_trainer(
    experiment: Experiment,
    folder: Path = Path(),
    *,
    tasks: tuple[str, ...] = TASKS,
    fabric: Fabric | None = None,
) -> Trainer:
    """Make a trainer at the start of the last stage, with its networks in training mode.

    Every step uses the same global batch, of which each process takes its share.

    Args:
        experiment: Settings; of ``data`` only the image size is used.
        folder: Folder for checkpoints, if any are written.
        tasks: Tasks to learn.
        fabric: Device and precision; default: one CPU in float32.
    """
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    learned = make_tasks(tasks, CLASSES, experiment.method.losses)
    schedule = stages(experiment)
    networks = build_networks(
        trained_networks(schedule),
        learned,
        experiment.model,
        image_size=experiment.data.image_size,
        num_scenes=NUM_SCENES,
        seed=experiment.seed,
    )
    if fabric.device.type != "cpu":  # fake tensors, which are used on the CPU only, cannot be moved
        networks = networks.to(fabric.device)

    @cache
    def batch(count: int) -> Batch:
        share = count // world_size()
        return synthetic_batch(learned, experiment.data.size, share, fabric.device, rank())

    def load(step: int, count: int) -> Batch:
        return batch(count)

    used = with_used_labels(load, experiment.model)
    loaders = dict.fromkeys({*(stage.data for stage in schedule), "generator"}, used) | {"extra": load}
    steps = JointSteps(networks, learned, experiment.method, loaders, label_stride=label_stride(experiment.model))
    trainer = Trainer(
        experiment.training,
        experiment.seed,
        schedule,
        networks,
        learned,
        loaders,
        steps,
        lambda model: ({}, {}),
        fabric,
        folder,
        MetricsLog(None),
        Progress(),
    )
    trainer.enter_stage(len(schedule) - 1)
    return trainer
