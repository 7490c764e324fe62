"""What the method passes to the generic trainer: a factory of steps, and the snapshot of a trained generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
"""Number of images whose latent means are saved with a generator."""


@dataclass(frozen=True)
class JointSteps:
    """Makes the steps of a run (`mgm.training.trainer.Trainer.make_step`).

    Args:
        networks: Networks of the run.
        tasks: Task name -> task.
        method: Weights and options of the losses, and the source of extra images.
        loaders: Name -> loader: ``generator``, and ``extra`` unless this run's generator makes the extra images.
        multi_hot: Whether an image may have several scene labels.
        annotate: Labels extra images; by default they keep the labels they have.
        strengthen: Strong augmentation of images labelled by the moving average, with a seed.
        label_stride: Stride in pixels at which the labels of extra images are used (`ModelConfig.loss_stride`).
    """

    networks: Networks
    tasks: dict[str, Task]
    method: MethodConfig
    loaders: Mapping[str, Loader]
    multi_hot: bool = False
    annotate: Callable[[Batch], Batch] = lambda extra: extra
    strengthen: Callable[[Batch, int], Batch] = lambda labelled, seed: labelled
    label_stride: int = 1
    _minibatches: dict[str, tuple[int, tuple[Batch, ...]]] = field(
        default_factory=dict[str, tuple[int, tuple[Batch, ...]]]
    )
    """Source -> seed of the last step, and its extra images in micro-batches, which are loaded and labelled together."""

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
            seed, parts = self._minibatches.get(source, (None, ()))
            if seed != inputs.seed:
                num_all = count * inputs.num_micro_batches * world_size()
                whole = self._labelled(self.loaders["extra"](inputs.index, num_all), step, source)
                parts = split_batch(whole, inputs.num_micro_batches, self.tasks)
                self._minibatches[source] = inputs.seed, parts
            return parts[inputs.micro_batch]
        if source == "taught":
            return self._labelled(step.images_of("extra"), step, source)
        with frozen_buffers(*self.networks.values()):
            images = synthesize(step, count, attached=self._attached)
            return self._labelled(images, step, source)

    def _labelled(self, extra: Batch, step: JointStep, source: str) -> Batch:
        """Extra images with the labels for their losses: by the moving average, by the annotator, or their own."""
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
        """File name -> state to save after a stage that trained the generator; empty after other stages.

        The state holds the generator's weights, and latent means and scene labels of some labelled images, so that later runs
        can use the generator without the data (`mgm.runs.saved_generators`).
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
