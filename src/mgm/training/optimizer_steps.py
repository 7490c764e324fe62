"""How the updates of a step are carried out: when which network steps, and what the losses may share until then.

Three ways (`TrainingConfig.optimizer_step`), from the paper's listing to the cheapest:

- separate: every loss has its Adam, which steps before the next loss is computed.
- shared: M steps after the last loss on labelled images, by one Adam; all others as above. So these losses share E(x), M(x) and
  one backward pass through E.
- combined: every network has its Adam, and all step at the end. So all losses share what they can, and one adversarial update
  is all there can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mgm.config import TrainingConfig
from mgm.method.step import Step
from mgm.networks.normalization import frozen_buffers
from mgm.training.averaging import GradientAverage
from mgm.training.gradients import parameters_of
from mgm.training.optimizers import MODEL, optimizer_names, sharing
from mgm.training.updates import Stage, Update, still_read


@dataclass
class Stepping:
    """What the three ways have in common.

    Args:
        networks: Network name -> module.
        optimizers: Those of `build_optimizers`.
        training: Settings.
        autocast: Makes the context that losses are computed in.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    training: TrainingConfig
    autocast: Callable[[], AbstractContextManager[object]]

    description: ClassVar[str]
    """What optimisers do, for people."""
    defers_encoder: ClassVar[bool]
    """See `Step`."""
    simultaneous: ClassVar[bool] = False
    """See `Step`."""
    keeps_fakes: ClassVar[bool] = False
    """See `Step`."""

    def __call__(self, stage: Stage, *steps: Step) -> dict[str, Tensor]:
        """Carry out the updates of a stage once.

        Args:
            stage: Whose updates.
            steps: The parts of the minibatch.

        Returns:
            Update name -> its loss (of the last time, if the update stands several times), still on the device.
        """
        raise NotImplementedError

    def loss(self, update: Update, step: Step) -> Tensor:
        """The weighted loss, with the buffers of all networks held still but those that the update names.

        They move once in an update, on the first part of its minibatch: the estimate of a spectral norm is then the same
        for all parts, and running statistics forget no faster.
        """
        moving = update.statistics if step.part == 0 else ()
        held = [network for name, network in self.networks.items() if name not in moving]
        with frozen_buffers(*held), self.autocast():
            return update.weight / step.parts * update.loss(step)

    def learn(self, update: Update, steps: tuple[Step, ...], waiting: tuple[str, ...] = ()) -> Tensor:
        """A loss by itself: its gradient, averaged over processes, and the step of its optimiser; returns the loss.

        It is computed on the parts of the minibatch one after another.

        Args:
            update: The loss.
            steps: The parts.
            waiting: Networks that step later, with the sum of several losses' gradients; what these losses share stays until
                then. Without any, one part at a time is in memory.
        """
        at_once = tuple(name for name in update.trains if name not in waiting)
        optimizer = self.optimizers[update.name] if at_once else None
        if optimizer:
            optimizer.zero_grad(set_to_none=True)
        average = GradientAverage()
        losses = []
        for step in steps:
            loss = self.loss(update, step)
            if step.is_last:
                average.as_they_come(parameters_of(self.networks, at_once))
            update.gradient(loss, step, update.trains, bool(waiting))
            losses.append(loss.detach().sum())
            del loss  # and with it whatever it alone has kept for its gradient
            if step.parts > 1 and not waiting:
                step.release()
        average.finish()
        if optimizer:
            self.apply(optimizer)
        for step in steps:
            step.forget(at_once)
        return torch.stack(losses).sum()

    def apply(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients, step."""
        limit = self.training.max_gradient_norm
        if limit:
            parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            nn.utils.clip_grad_norm_(parameters, limit)
        optimizer.step()

    def backward_through_encoder(self, step: Step, completed: tuple[str, ...], *, trains_encoder: bool) -> None:
        """Send the gradients that losses have collected at the encoder's output through it.

        Args:
            step: A part of the minibatch; with the last one, gradients are averaged over processes.
            completed: Other networks whose gradients are complete; they are averaged meanwhile.
            trains_encoder: Whether the encoder is trained.
        """
        encoder = parameters_of(self.networks, ("encoder",))
        average = GradientAverage()
        if step.is_last:
            average.now(parameters_of(self.networks, completed))
            average.as_they_come(encoder if trains_encoder else ())
        step.backward_through_encoder(encoder)
        average.finish()


class Separate(Stepping):
    """Algorithm 1 as it stands: after each loss its own optimiser, before the next loss is computed."""

    description = "one Adam per loss, one after another"
    defers_encoder = False

    def __call__(self, stage: Stage, *steps: Step) -> dict[str, Tensor]:
        """Carry out the updates of a stage once."""
        return {update.name: self.learn(update, steps) for update in stage.updates}


class Shared(Stepping):
    """The paper's order, in which M waits until no loss needs the labelled images any more (lines 1 to 4).

    Until then E(x) and M(x) are what they were, so they are computed once, and E is differentiated once. D, G, R and the heads
    step after each loss, as in the paper. The images of the last adversarial update serve as the synthesized ones.
    The parts of a minibatch keep their E(x) and M(x) until then, so that accumulation saves the memory of G and D alone.
    """

    description = "one Adam per loss, one after another, but one of the model for all losses on labelled images"
    defers_encoder = True
    keeps_fakes = True

    def __call__(self, stage: Stage, *steps: Step) -> dict[str, Tensor]:
        """Carry out the updates of a stage once."""
        group = sharing(stage.updates)
        waiting = tuple(name for name in MODEL if any(name in update.trains for update in group))
        if waiting:
            self.optimizers["model"].zero_grad(set_to_none=True)
        losses = {}
        for number, update in enumerate(group, 1):
            losses[update.name] = self.learn(update, steps, waiting)
            for step in steps:
                step.keep(still_read(group[number:]))
        if waiting:
            completed = tuple(name for name in waiting if name != "encoder")
            for step in steps:
                self.backward_through_encoder(step, completed, trains_encoder="encoder" in waiting)
            self.apply(self.optimizers["model"])
            for step in steps:
                step.forget(waiting)
        return losses | {update.name: self.learn(update, steps) for update in stage.updates[len(group) :]}


class Combined(Stepping):
    """All losses at the same weights, one backward pass through the encoder (and part), one step per network."""

    description = "all losses in one backward pass, one Adam per network"
    defers_encoder = True
    simultaneous = True

    def __call__(self, stage: Stage, *steps: Step) -> dict[str, Tensor]:
        """Carry out the updates of a stage once."""
        optimizers = [self.optimizers[name] for name in optimizer_names(stage.updates, "combined")]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        parts = [self._backward(stage, step) for step in steps]
        for optimizer in optimizers:
            self.apply(optimizer)
        return {name: torch.stack([losses[name] for losses in parts]).sum() for name in parts[0]}

    def _backward(self, stage: Stage, step: Step) -> dict[str, Tensor]:
        """Gradients of all losses on one part of a minibatch."""
        losses = {}
        for number, update in enumerate(stage.updates, 1):
            loss = self.loss(update, step)
            update.gradient(loss, step, update.trains, True)
            losses[update.name] = loss.detach().sum()
            del loss  # and with it whatever it alone has kept for its gradient
            step.keep(still_read(stage.updates[number:]))
        completed = tuple(sorted(stage.trains - {"encoder"}))
        self.backward_through_encoder(step, completed, trains_encoder="encoder" in stage.trains)
        step.release()
        return losses


STEPPING: dict[str, type[Stepping]] = {"separate": Separate, "shared": Shared, "combined": Combined}
"""`TrainingConfig.optimizer_step` -> how updates are carried out."""
