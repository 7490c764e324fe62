"""Sources of extra images (Algorithm 1, line 5), and the synthesis of images by the generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mgm.method.step import JointStep
from mgm.types import Batch


@dataclass(frozen=True)
class ExtraImages:
    """A source of extra images. Unless a generator makes them, `mgm.runs.loaders` has their loader."""

    description: str
    generator: Literal["none", "frozen", "joint"] = "none"
    """Whether this run's generator makes the images, and if so, whether it is frozen or trained further in joint training."""
    labelled: bool = False
    """Whether the images have pixel labels, so that they can be used for `labels`."""


EXTRA_IMAGES: dict[str, ExtraImages] = {
    "generator": ExtraImages("synthesized by the generator that is trained jointly (MGM)", generator="joint"),
    "frozen_generator": ExtraImages(
        "synthesized by a generator trained beforehand and frozen (MGM/j)", generator="frozen"
    ),
    "saved_generators": ExtraImages("synthesized by the trained generators of earlier runs (MGM-Combine)"),
    "weak": ExtraImages("real images of which at most the scene label is used (MGM_r)"),
    "labelled": ExtraImages("the labelled images again (control of equal cost)", labelled=True),
    "composites": ExtraImages("half the classes of one labelled image pasted into another", labelled=True),
    "rooms": ExtraImages("rendered rooms with their exact geometry", labelled=True),
    "none": ExtraImages("no extra images (MGM/G)"),
}
"""`MethodConfig.extra_images` -> the source."""

EXTRA_USES = ("refinement", "self_supervision", "labels", "consistency")
"""Choices of `MethodConfig.extra_uses`."""


def synthesize(step: JointStep, count: int, *, attached: bool) -> Batch:
    """Synthesize a batch ``(x~, c)`` with ``x~ = G(z, c)``, labelled by scene only (Algorithm 1, line 5).

    Scene labels are those of the minibatch, unknown ones included, or random ones if an image may have several (G.1). The images
    of the adversarial losses are reused while they are valid (`JointStep.current_fakes`).

    Args:
        step: The step to synthesize for.
        count: Number of images.
        attached: Whether the images keep their graph, so that losses on them train the generator.
    """
    rows = torch.arange(count, device=step.batch.scene.device) % len(step.batch)
    labels = step.labels()[rows]
    if step.current_fakes is not None and count == len(step.batch) and not step.multi_hot and not attached:
        images = step.current_fakes
    else:
        if step.multi_hot:
            labels = random_multi_hot(labels, step)
        with torch.set_grad_enabled(attached):
            images = step.networks["generator"](step.latent(count), labels)
    unknown = step.batch.scene[rows].isnan().all(1) & (labels == 0).all(1)
    shares = {name: share for name, share in step.batch.shares.items() if name == "scene"}
    return Batch(images.float(), {}, labels.masked_fill(unknown.unsqueeze(1), torch.nan), shares)


def random_multi_hot(labels: Tensor, step: JointStep) -> Tensor:
    """Shuffle each class's column of ``labels`` (``[B, K]``) independently, which keeps how often each class occurs.

    A row that ends up without any class keeps its original labels.
    """
    order = step.noise(*labels.shape).argsort(dim=0)
    shuffled = labels.gather(0, order)
    return torch.where(shuffled.sum(1, keepdim=True) > 0, shuffled, labels)
