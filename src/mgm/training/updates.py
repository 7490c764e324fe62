"""Training steps as data: an update names its loss and the networks that it changes; a stage is a tuple of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from mgm.training.gradients import GradientRule, summed


@dataclass(frozen=True)
class Update:
    """One line of the algorithm: a loss and what it trains.

    Gradients pass *through* every network but are accumulated in those of ``trains`` alone: the backward pass is given exactly
    these parameters and computes no other weight gradient.

    With separate optimisers, Adam's moments belong to the update (paper, Algorithm 1: every loss has its own optimiser): updates
    that train the same network do not share them, and one that stands twice in a stage has one state. With combined updates they
    belong to the network (`mgm.training.optimizer_steps`).
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[..., Tensor]
    """``loss(step, source)`` is a scalar and changes nothing."""
    source: str = "labelled"
    """The images that the loss is computed on (`Step.images_of`)."""
    weight: float = 1.0
    statistics: tuple[str, ...] = ()
    """Networks whose buffers (batch-norm statistics, the power iteration of spectral norm) move in this update.

    All others normalise with the statistics of their batch and do not remember them. So the running statistics of M describe
    labelled images, like those it is used on, and not synthesized ones or the views of SimCLR."""
    reads: tuple[str, ...] = ()
    """What the loss shares with others computed at the same weights: ``labelled``, ``extra`` (M's predictions for these images),
    ``fakes``. Its graph is dropped after the last loss that reads it."""
    gradient: GradientRule = summed
    """How the gradient is formed from the loss; under another rule than `summed` the loss may be a vector."""


@dataclass(frozen=True)
class Stage:
    """A phase of the training: the same updates, over and over."""

    name: str
    updates: tuple[Update, ...]
    steps: int
    batch_size: int
    data: str = "labelled"
    """Name of the loader that its batches come from."""

    @property
    def trains(self) -> frozenset[str]:
        """Networks that this stage changes; all others are frozen."""
        return frozenset(network for update in self.updates for network in update.trains)

    @property
    def trains_model(self) -> bool:
        """Whether the predictions of M change, so that evaluating is worth while."""
        return "decoders" in self.trains


def trained_networks(stages: Iterable[Stage]) -> frozenset[str]:
    """Networks that some stage trains: those that have to be built."""
    return frozenset(name for stage in stages for name in stage.trains)


def still_read(updates: Iterable[Update]) -> set[str]:
    """What the losses to come share with earlier ones (`Update.reads`)."""
    return {name for update in updates for name in update.reads}
