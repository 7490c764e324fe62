"""Execution of a step's updates.

- separate: every loss has its own optimiser, which steps before the next loss is computed (the paper's Algorithm 1).
- combined: every network has its own optimiser, and all step at the end. So losses can share features and predictions, and
  there is only one adversarial update.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mgm.config import TrainingConfig
from mgm.networks.normalization import frozen_buffers, recording_layers
from mgm.training.gradients import GradientShares, average_gradients, parameters_of
from mgm.training.optimizers import optimizer_names
from mgm.training.step import Step
from mgm.training.updates import Stage, Update, still_read

Autocast = Callable[[], AbstractContextManager[object]]
"""Makes the mixed-precision context for computing losses."""


@dataclass
class OptimizerStep(ABC):
    """Carries out all updates of a stage once.

    Args:
        networks: Network name -> module.
        optimizers: From `build_optimizers`.
        training: Settings.
        autocast: Makes the mixed-precision context for computing losses.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    training: TrainingConfig
    autocast: Autocast
    shares: GradientShares | None = None
    """Measures the gradients of the next step, if set."""

    description: ClassVar[str]
    """One phrase for run pages and reports."""
    combined: ClassVar[bool]
    """Whether all losses are computed at the same weights (`StepInputs.combined`)."""

    def __post_init__(self) -> None:
        # collected once, because walking through all modules for every loss takes long
        self._recording = {name: recording_layers(network) for name, network in self.networks.items()}

    @abstractmethod
    def __call__(self, stage: Stage, steps: Sequence[Step]) -> dict[str, Tensor]:
        """Compute losses and gradients, and step the optimisers.

        Args:
            stage: The stage whose updates to carry out.
            steps: One step per micro-batch of the minibatch.

        Returns:
            Update name -> loss, still on the device; the last loss of an update that occurs several times.
        """

    def loss(self, update: Update, step: Step) -> Tensor:
        """The weighted loss of a micro-batch. Only networks in `Update.statistics` change their buffers.

        They do so once per update, on the first micro-batch: so the spectral-norm estimate is the same for all micro-batches,
        and running statistics keep their effective momentum.
        """
        moving = update.statistics if step.is_first else ()
        held = [layer for name, layers in self._recording.items() if name not in moving for layer in layers]
        with frozen_buffers(*held), self.autocast():
            return update.weight / step.inputs.num_micro_batches * update.loss(step, update.source)

    def note(self, update: Update, loss: Tensor, step: Step) -> None:
        """Measure the loss's gradient at the encoder on the first micro-batch, if `shares` is set."""
        if self.shares and step.is_first and "encoder" in update.trains:
            self.shares.note(update.name, loss, step)

    def apply(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients if configured, then step the optimiser."""
        limit = self.training.max_gradient_norm
        if limit:
            parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            nn.utils.clip_grad_norm_(parameters, limit)
        optimizer.step()


class Separate(OptimizerStep):
    """Algorithm 1 as written: each loss has its own optimiser, which steps before the next loss is computed."""

    description = "one optimiser per loss, one after another"
    combined = False

    def __call__(self, stage: Stage, steps: Sequence[Step]) -> dict[str, Tensor]:
        """Carry out the updates in order."""
        return {update.name: self._learn(update, steps) for update in stage.updates}

    def _learn(self, update: Update, steps: Sequence[Step]) -> Tensor:
        """Carry out one update, with one micro-batch at a time in memory. Returns its loss."""
        optimizer = self.optimizers[update.name]
        optimizer.zero_grad(set_to_none=True)
        losses: list[Tensor] = []
        for step in steps:
            loss = self.loss(update, step)
            self.note(update, loss, step)
            update.gradient(loss, step, update.trains, False)
            losses.append(loss.detach().sum())
            del loss  # frees the graph
            if len(steps) > 1:
                step.release()
        average_gradients(parameters_of(self.networks, update.trains))
        self.apply(optimizer)
        for step in steps:
            step.forget(update.trains)
        return torch.stack(losses).sum()


class Combined(OptimizerStep):
    """All losses at the same weights, one backward pass through the encoder per micro-batch, one step per network."""

    description = "all losses in one backward pass, one optimiser per network"
    combined = True

    def __call__(self, stage: Stage, steps: Sequence[Step]) -> dict[str, Tensor]:
        """Collect the gradients of all updates, then step."""
        optimizers = [self.optimizers[name] for name in optimizer_names(stage.updates, "combined")]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        losses = [self._backward(stage, step) for step in steps]
        average_gradients(parameters_of(self.networks, sorted(stage.trains)))
        for optimizer in optimizers:
            self.apply(optimizer)
        return {name: torch.stack([found[name] for found in losses]).sum() for name in losses[0]}

    def _backward(self, stage: Stage, step: Step) -> dict[str, Tensor]:
        """Accumulate the gradients of all losses on one micro-batch. Returns the losses."""
        losses: dict[str, Tensor] = {}
        for number, update in enumerate(stage.updates, 1):
            loss = self.loss(update, step)
            self.note(update, loss, step)
            update.gradient(loss, step, update.trains, True)
            losses[update.name] = loss.detach().sum()
            del loss  # frees the part of the graph that no other loss shares
            step.keep(still_read(stage.updates[number:]))
        step.backward_through_encoder()
        step.release()
        return losses


OPTIMIZER_STEPS: dict[str, type[OptimizerStep]] = {"separate": Separate, "combined": Combined}
"""`TrainingConfig.optimizer_step` -> class."""
