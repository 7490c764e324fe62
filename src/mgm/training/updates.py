"""Training steps as data: an update names its loss and the networks that it changes; a stage is a tuple of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor

from mgm.training.gradients import GradientRule, summed


@dataclass(frozen=True)
class Update:
    """One line of the algorithm: a loss and the networks that it trains.

    Gradients pass *through* every network but are accumulated only in those of ``trains``: the backward pass is given exactly
    these parameters and computes no other weight gradients.

    With separate optimisers, Adam's moments belong to the update (paper, Algorithm 1: every loss has its own optimiser): updates
    that train the same network do not share them, and an update that occurs twice in a stage has one state. With combined
    updates, the moments belong to the network (`mgm.training.optimizer_steps`).
    """

    name: str
    trains: tuple[str, ...]
    loss: Callable[..., Tensor]
    """``loss(step, source)`` returns a scalar and has no side effects."""
    source: str = "labelled"
    """The images that the loss is computed on (`Step.images_of`)."""
    weight: float = 1.0
    statistics: tuple[str, ...] = ()
    """Networks whose buffers (batch-norm statistics, vectors of spectral norm's power iteration) this update changes.

    All other networks normalise with batch statistics and do not record them. So the running statistics of M describe labelled
    images, like those it is used on, and not synthesized images or the views of SimCLR."""
    reads: tuple[str, ...] = ()
    """Cached results that the loss shares with others computed at the same weights: ``labelled``, ``extra`` (M's predictions for
    these images), ``fakes``. Their graphs are dropped after the last loss that reads them."""
    gradient: GradientRule = summed
    """How gradients are computed from the loss; with a rule other than `summed`, the loss may be a vector."""


@dataclass(frozen=True)
class Stage:
    """A phase of the training, in which every step carries out the same updates."""

    name: str
    updates: tuple[Update, ...]
    steps: int
    batch_size: int
    data: str = "labelled"
    """Name of the loader that provides the batches."""

    @property
    def trains(self) -> frozenset[str]:
        """Networks that this stage changes; all others are frozen."""
        return frozenset(network for update in self.updates for network in update.trains)

    @property
    def trains_model(self) -> bool:
        """Whether the stage trains M's predictions."""
        return "decoders" in self.trains

    @property
    def trains_on_labels(self) -> bool:
        """Whether the stage trains M on the run's labelled images: only then M is validated and its steps count for the budget."""
        return self.trains_model and self.data == "labelled"


def trained_networks(stages: Iterable[Stage]) -> frozenset[str]:
    """Names of the networks that at least one stage trains, and which therefore must be built."""
    return frozenset(name for stage in stages for name in stage.trains)


def still_read(updates: Iterable[Update]) -> set[str]:
    """Cached results that the given updates still read (`Update.reads`)."""
    return {name for update in updates for name in update.reads}
