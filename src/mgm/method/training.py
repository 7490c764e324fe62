"""What the generic trainer has to know of the method: how a step is made, and what is kept of a generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from mgm.config import MethodConfig
from mgm.functional.distributed import world_size
from mgm.method.algorithm import images_attached, joint_updates
from mgm.method.consistency import taught
from mgm.method.extra_images import EXTRA_IMAGES, synthesize
from mgm.method.step import JointStep
from mgm.networks.normalization import frozen_buffers
from mgm.tasks.base import Task
from mgm.training.micro_batches import split_batch
from mgm.training.networks import Networks
from mgm.training.step import StepInputs
from mgm.training.trainer import Loader
from mgm.training.updates import Stage
from mgm.types import Batch

SNAPSHOT_IMAGES = 128
"""Images whose latent means are kept with a generator."""


@dataclass(frozen=True)
class JointSteps:
    """Makes the steps of a run (`mgm.training.trainer.Trainer.make_step`).

    Args:
        networks: What is trained.
        tasks: Task name -> task.
        method: Weights and options of the losses, and where extra images come from.
        loaders: Name -> loader: ``extra`` unless a generator of this run makes the extra images, and ``generator``.
        multi_hot: Whether an image may have several scene labels.
        annotate: Gives extra images their labels; by default they keep what they have.
        strengthen: Changes images that the moving average has labelled, by a seed, before the network sees them.
        label_stride: Labels of extra images are used at every so many pixels along each side (`ModelConfig.loss_stride`).
    """

    networks: Networks
    tasks: dict[str, Task]
    method: MethodConfig
    loaders: Mapping[str, Loader]
    multi_hot: bool = False
    annotate: Callable[[Batch], Batch] = lambda extra: extra
    strengthen: Callable[[Batch, int], Batch] = lambda labelled, seed: labelled
    label_stride: int = 1

    def __call__(self, inputs: StepInputs) -> JointStep:
        """A step on one micro-batch."""
        return JointStep(self.networks, self.tasks, inputs, self.method, self._draw, multi_hot=self.multi_hot)

    @cached_property
    def _attached(self) -> bool:
        return images_attached(joint_updates(self.method))

    def _draw(self, step: JointStep, source: str) -> Batch:
        count = max(1, round(self.method.extra_ratio * len(step.batch)))
        inputs = step.inputs
        if EXTRA_IMAGES[self.method.extra_images].generator == "none":
            num_all = count * inputs.num_micro_batches * world_size()
            whole = self._labelled(self.loaders["extra"](inputs.index, num_all), step, source)
            return split_batch(whole, inputs.num_micro_batches, self.tasks)[inputs.micro_batch]
        if source == "taught":
            return self._labelled(step.images_of("extra"), step, source)
        with frozen_buffers(*self.networks.values()):
            images = synthesize(step, count, attached=self._attached)
            return self._labelled(images, step, source)

    def _labelled(self, extra: Batch, step: JointStep, source: str) -> Batch:
        """Extra images with the labels that the losses on them are to see."""
        if source == "taught":
            assert step.inputs.average is not None  # `mgm.runs.checks`
            labelled = taught(step.inputs.average, extra, self.tasks, self.method.confidence)
            labelled = self.strengthen(labelled, step.stream_seed("strengthen"))
        else:
            labelled = self.annotate(extra)
        stride = self.label_stride
        return labelled if stride == 1 else labelled.every(stride, step.inputs.index % stride)

    @torch.no_grad()
    def generator_snapshot(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """After a stage that trained the generator: file name -> its weights and the latent means of some labelled images.

        With them it can be used without the data (`mgm.runs.saved_generators`).
        """
        if "generator" not in stage.trains:
            return {}
        batch = self.loaders["generator"](0, SNAPSHOT_IMAGES * world_size())
        step = self(StepInputs(batch, 0, 0, 0))
        means = torch.zeros(len(batch), step.latent_size, device=batch.images.device)
        if "embedding" in self.networks:
            with frozen_buffers(*self.networks.values()):
                means = self.networks["embedding"](step.features("labelled")[-1])
        weights = self.networks["generator"].state_dict()
        return {
            f"generator_after_{stage.name}.pt": {"generator": weights, "latent_means": means, "labels": step.labels()}
        }
