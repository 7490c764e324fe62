"""The networks, data and trainers that are measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mgm.bench.setting import TASKS, BenchSetting
from mgm.config import Experiment
from mgm.data import open_source
from mgm.method.algorithm import stages
from mgm.method.networks import Networks, build_networks
from mgm.runs.data import ExperimentData, load_data, make_feeds
from mgm.runs.devices import launch, single_device
from mgm.tasks import make_tasks
from mgm.tasks.base import Task
from mgm.training.metrics_log import Journal
from mgm.training.trainer import Feed, Progress, Trainer
from mgm.training.updates import trained_networks
from mgm.types import Batch, DatasetInfo


class AnsweredReads(TorchDispatchMode):
    """The host reads 1 wherever it asks a fake tensor for its value: losses that are printed, Adam's count of steps."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Answer, or carry out."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0
        return func(*args, **(kwargs or {}))


class Workbench:
    """Builds what is measured, with real data on a device, or on fake tensors that have shapes but no values.

    Args:
        setting: What is measured.
        fake: Compute nothing: all that is counted comes out the same, at any size in seconds.

    Raises:
        ConfigError: If the setting or the device cannot be.
    """

    def __init__(self, setting: BenchSetting, *, fake: bool = False) -> None:
        self.setting = setting
        self.experiment = setting.experiment()
        self.device = torch.device("cpu") if fake else single_device(setting.device)
        self._fake = FakeTensorMode(allow_non_fake_inputs=True) if fake else None

    @contextmanager
    def active(self) -> Iterator[None]:
        """The context to build and to work in."""
        with self._fake or nullcontext(), AnsweredReads() if self._fake else nullcontext():
            yield

    @cached_property
    def info(self) -> DatasetInfo:
        """What the data set offers."""
        return open_source(self.setting.data, self.experiment.data.num_images).info

    @cached_property
    def data(self) -> ExperimentData:
        """The images, converted and on the device."""
        return load_data(self.experiment, self.device)

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Task name -> task."""
        return make_tasks(tuple(task for task in TASKS if task in self.info.tasks), self.info.classes)

    def batch(self, count: int) -> Batch:
        """A batch of the right shapes without any content."""
        size = self.setting.size
        targets = {name: task.missing(count, size, size).to(self.device) for name, task in self.tasks.items()}
        scene = torch.eye(max(1, len(self.info.scenes)), device=self.device)[
            torch.arange(count) % len(self.info.scenes)
        ]
        return Batch(torch.zeros(count, 3, size, size, device=self.device), targets, scene)

    def feeds(self, experiment: Experiment) -> dict[str, Feed]:
        """Batches by step: the data's, or fake ones."""
        if self._fake is None:
            return make_feeds(experiment, self.data, self.device)
        return dict.fromkeys(("labelled", "generator"), lambda step, count: self.batch(count))

    def networks(self, experiment: Experiment, names: frozenset[str]) -> Networks:
        """The networks of an experiment on the device."""
        networks = build_networks(
            names,
            self.tasks,
            experiment.model,
            image_size=self.setting.size,
            num_scenes=len(self.info.scenes),
            seed=experiment.seed,
        )
        return networks if self._fake else networks.to(self.device)  # fake tensors cannot be moved, and need not be

    def trainer(self, experiment: Experiment, stage: str) -> Trainer:
        """A trainer that stands at the beginning of a stage."""
        schedule = stages(experiment.method, experiment.training)
        trainer = Trainer(
            experiment,
            schedule,
            self.networks(experiment, trained_networks(schedule)),
            self.tasks,
            self.feeds(experiment),
            lambda model: ({}, 0.0),
            launch(experiment.training),
            Path(),  # nothing is saved
            Journal(None),
            Progress(),
        )
        trainer.enter_stage([s.name for s in schedule].index(stage))
        return trainer


def tensors_held(networks: Networks, optimizers: Mapping[str, torch.optim.Optimizer]) -> Iterable[Tensor]:
    """Weights, buffers and the states of optimisers: what is in memory before a step begins."""
    yield from networks.parameters()
    yield from networks.buffers()
    for optimizer in optimizers.values():
        for state in optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))
