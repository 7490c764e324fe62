"""Images beyond the labelled minibatch (Algorithm 1, line 5): where they come from, and the generator's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from mgm.method.step import JointStep
from mgm.training.trainer import Loader
from mgm.types import Batch


class Loaders(Protocol):
    """Makes loaders of a run's data for the sources of extra images."""

    def labelled(self) -> Loader:
        """The labelled images, in another order and with other augmentation than in the minibatches."""
        ...

    def weakly_labelled(self) -> Loader:
        """Training images of which the scene label alone is used."""
        ...

    def composites(self) -> Loader:
        """Labelled images with parts of others pasted into them."""
        ...

    def rooms(self) -> Loader:
        """Rendered rooms."""
        ...

    def saved_generators(self) -> Loader:
        """Images of the generators of earlier runs."""
        ...


@dataclass(frozen=True)
class ExtraImages:
    """A source of extra images."""

    description: str
    generator: Literal["none", "frozen", "joint"] = "none"
    """Whether a generator of this run makes them, and whether joint training goes on training it."""
    labelled: bool = False
    """Whether they carry pixel labels, so that `labels` is a possible use."""
    loader: Callable[[Loaders], Loader] | None = None
    """Where they come from, unless a generator of this run makes them."""


EXTRA_IMAGES: dict[str, ExtraImages] = {
    "generator": ExtraImages("synthesized by the generator that is trained jointly (MGM)", generator="joint"),
    "frozen_generator": ExtraImages(
        "synthesized by a generator trained beforehand and frozen (MGM/j)", generator="frozen"
    ),
    "saved_generators": ExtraImages(
        "synthesized by the generators of earlier runs, as they are (MGM-Combine)",
        loader=lambda loaders: loaders.saved_generators(),
    ),
    "weak": ExtraImages(
        "real images whose labels are unknown or unused, but for the scene (MGM_r)",
        loader=lambda loaders: loaders.weakly_labelled(),
    ),
    "labelled": ExtraImages(
        "the labelled images once more (the control of equal cost)",
        labelled=True,
        loader=lambda loaders: loaders.labelled(),
    ),
    "composites": ExtraImages(
        "half the classes of one labelled image pasted into another",
        labelled=True,
        loader=lambda loaders: loaders.composites(),
    ),
    "rooms": ExtraImages(
        "rendered rooms with their exact geometry", labelled=True, loader=lambda loaders: loaders.rooms()
    ),
    "none": ExtraImages("no extra images (MGM/G)"),
}
"""`MethodConfig.extra_images` -> the source."""

EXTRA_USES = ("refinement", "self_supervision", "labels", "consistency")
"""What extra images may be used for."""


def synthesize(step: JointStep, count: int, *, attached: bool) -> Batch:
    """``(x~, c)`` with ``x~ = G(z, c)``: images of which only the scene label is known (Algorithm 1, line 5).

    The label is the minibatch's for one scene per image, and random where several may hold (G.1). The images of the adversarial
    losses are used again while they are there (`JointStep.current_fakes`).

    Args:
        step: The step in which they are used.
        count: How many.
        attached: Whether they carry a graph, by which losses on them reach the generator.
    """
    if step.current_fakes is not None and count == len(step.batch) and not step.multi_hot and not attached:
        return Batch(step.current_fakes.float(), {}, step.labels())
    labels = step.labels()[torch.arange(count, device=step.batch.scene.device) % len(step.batch)]
    if step.multi_hot:
        labels = random_multi_hot(labels, step)
    with torch.set_grad_enabled(attached):
        images = step.networks["generator"](step.latent(count), labels)
    return Batch(images.float(), {}, labels)


def random_multi_hot(labels: Tensor, step: JointStep) -> Tensor:
    """Every class drawn by itself, as often as it occurs in the minibatch: its column, shuffled.

    A draw without any class keeps the image's own labels.
    """
    order = step.noise(*labels.shape).argsort(dim=0)
    shuffled = labels.gather(0, order)
    return torch.where(shuffled.sum(1, keepdim=True) > 0, shuffled, labels)
