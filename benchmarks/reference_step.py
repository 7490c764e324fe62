"""The joint step with the sequence of passes of the authors' public code, as the reference for our step.

It re-implements the structure (Algorithm 1), not the code, with our networks and without computational shortcuts ("identities").
Passes of one step, each on one minibatch (f: forward, b: backward):

| line | passes | E | each decoder | R | G | D |
| --- | --- | --- | --- | --- | --- | --- |
| task losses | E, decoders | f b | f b | | | |
| scene loss | E, decoders, R | f b | f b | f b | | |
| NT-Xent | E on either view, one after the other | 2f 2b | | | | |
| adversarial, twice: D | E for the latent, G, D on real, D on fake | 2·(f) | | | 2·(f) | 2·(2f 2b) |
| adversarial, twice: G | E for the latent again, G again, D | 2·(f b) | | | 2·(f b) | 2·(f b) |
| synthesis | E for the latent, G | f | | | f | |
| scene loss, synthesized | E, decoders, R | f b | f b | f b | | |
| NT-Xent, synthesized | E on either view | 2f 2b | | | | |
| sum | | 12f 9b | 3f 3b | 2f 2b | 5f 2b | 6f 6b |

Why it is expensive: `loss.backward()` computes the gradients of all weights that a loss passes through, although most are cleared
unused; the fake images of D's loss and the synthesized images carry graphs through G, the embedding layer and E that are never
differentiated; features, latents and fake images are recomputed for every loss; real and fake images, and the two views, take
separate passes; views are made image by image on the host; and each loss is read with ``.item()``, which synchronises.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor

from mgm.functional.adversarial import discriminator_hinge_loss, generator_hinge_loss
from mgm.functional.classification import scene_loss
from mgm.functional.contrastive import nt_xent
from mgm.method.networks import Networks
from mgm.method.selfsup.views import HUE, RATIO, SCALE, SIGMA, STRENGTH
from mgm.networks.embedding import LatentEmbedding
from mgm.networks.generators import Generator
from mgm.tasks.base import Task
from mgm.training.optimizers import GAN_BETAS
from mgm.types import Batch, Predictions

Views = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Maps images and a seed to two views of the images."""

TRAINS: dict[str, tuple[str, ...]] = {
    "task": ("encoder", "decoders"),
    "refinement": ("refinement", "encoder"),
    "self_supervision": ("projection", "encoder"),
    "discriminator": ("discriminator",),
    "generator": ("generator", "embedding", "encoder"),
    "extra_refinement": ("encoder",),
    "extra_self_supervision": ("encoder",),
}
"""Loss -> networks updated by its optimizer (Algorithm 1)."""

RATES = {"generator": 1e-4, "embedding": 1e-4, "discriminator": 4e-4}
"""Learning rates of Adam that differ from 1e-3 (paper, appendix B)."""


class ReferenceStep:
    """Trains the networks of MGM with the public code's sequence of passes.

    Args:
        networks: All networks of the method.
        tasks: The tasks to learn.
        views: Makes the two views; the public code does it like `host_views`.
        temperature: Temperature of NT-Xent.
        generator_updates: Adversarial updates per minibatch.
        foreach: Whether Adam updates all tensors at once; None: torch's default (only on a GPU).
    """

    def __init__(
        self,
        networks: Networks,
        tasks: dict[str, Task],
        views: Views,
        *,
        temperature: float = 0.5,
        generator_updates: int = 2,
        foreach: bool | None = None,
    ) -> None:
        self.networks = networks.train().requires_grad_(True)
        self.tasks = tasks
        self.views = views
        self.temperature = temperature
        self.generator_updates = generator_updates
        self.optimizers = {
            loss: torch.optim.Adam([self._group(name) for name in names], foreach=foreach)
            for loss, names in TRAINS.items()
        }

    def _group(self, name: str) -> dict[str, object]:
        gan = name in ("generator", "discriminator")
        return {
            "params": list(self.networks[name].parameters()),
            "lr": RATES.get(name, 1e-3),
            "betas": GAN_BETAS if gan else (0.9, 0.999),
        }

    def __call__(self, batch: Batch, seed: int) -> dict[str, float]:
        """Run one step; returns the losses that the public code prints."""
        labels = batch.scene.nan_to_num(0.0)
        losses = {
            "task": self._learn("task", self._task_loss(batch)),
            "refinement": self._learn("refinement", self._refinement_loss(batch.images, batch.scene)),
            "self_supervision": self._learn("self_supervision", self._contrastive_loss(batch.images, seed)),
        }
        for _ in range(self.generator_updates):
            losses["discriminator"] = self._learn("discriminator", self._discriminator_loss(batch.images, labels))
            losses["generator"] = self._learn("generator", self._generator_loss(batch.images, labels))
        synthesized = self._synthesize(batch.images, labels)
        losses["extra_refinement"] = self._learn(
            "extra_refinement", self._refinement_loss(synthesized.detach(), batch.scene)
        )
        losses["extra_self_supervision"] = self._learn(
            "extra_self_supervision", self._contrastive_loss(synthesized.detach(), seed + 1)
        )
        return losses

    def _learn(self, name: str, loss: Tensor) -> float:
        """Compute the gradients of all weights involved, step one optimizer, and read the loss."""
        self.networks.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()
        return loss.item()

    def _predict(self, images: Tensor) -> Predictions:
        return self.networks["decoders"](self.networks["encoder"](images))

    def _task_loss(self, batch: Batch) -> Tensor:
        predictions = self._predict(batch.images)
        return torch.stack([t.loss(predictions[name], batch.targets[name]) for name, t in self.tasks.items()]).sum()

    def _refinement_loss(self, images: Tensor, scene: Tensor) -> Tensor:
        predictions = self._predict(images)
        inputs = {name: task.refinement_input(predictions[name]) for name, task in self.tasks.items()}
        return scene_loss(self.networks["refinement"](inputs), scene, False)

    def _contrastive_loss(self, images: Tensor, seed: int) -> Tensor:
        encoder, head = self.networks["encoder"], self.networks["projection"]
        first, second = (head(encoder(view)[-1]) for view in self.views(images, seed))
        return nt_xent(first, second, self.temperature)

    def _synthesize(self, images: Tensor, labels: Tensor) -> Tensor:
        generator, embedding = self.networks["generator"], self.networks["embedding"]
        assert isinstance(generator, Generator)
        assert isinstance(embedding, LatentEmbedding)
        noise = torch.randn(len(images), generator.latent_size, device=images.device)
        return generator(embedding(self.networks["encoder"](images)[-1]) + noise, labels)

    def _discriminator_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        discriminator = self.networks["discriminator"]
        fakes = self._synthesize(images, labels)
        return discriminator_hinge_loss(discriminator(images, labels), discriminator(fakes.detach(), labels))

    def _generator_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return generator_hinge_loss(self.networks["discriminator"](self._synthesize(images, labels), labels))


def host_views(images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Make two SimCLR views of each image as in public code: image by image, on the host, with Pillow.

    Args:
        images: ``[B, 3, S, S]``, RGB in (-1, 1).
        seed: Seed of the random numbers.

    Returns:
        Two tensors of the same shape, on the same device.
    """
    chance = random.Random(seed)
    pixels = ((images.detach() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    originals = [Image.fromarray(image) for image in pixels]
    views = [[np.array(_view(image, chance)) for image in originals] for _ in range(2)]
    first, second = (
        torch.from_numpy(np.stack(view)).permute(0, 3, 1, 2).float().div(127.5).sub(1).to(images.device)
        for view in views
    )
    return first, second


def _view(image: Image.Image, chance: random.Random) -> Image.Image:
    """Crop, flip, jitter, grey, blur."""
    image = _crop(image, chance)
    if chance.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if chance.random() < 0.5:
        image = _jitter(image, chance)
    if chance.random() < 0.2:
        image = image.convert("L").convert("RGB")
    if chance.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(chance.uniform(*SIGMA)))
    return image


def _crop(image: Image.Image, chance: random.Random) -> Image.Image:
    side = image.width
    area, ratio = chance.uniform(*SCALE), math.exp(chance.uniform(*map(math.log, RATIO)))
    width, height = min(1.0, math.sqrt(area * ratio)) * side, min(1.0, math.sqrt(area / ratio)) * side
    left, top = chance.uniform(0, side - width), chance.uniform(0, side - height)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def _jitter(image: Image.Image, chance: random.Random) -> Image.Image:
    steps = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None]
    chance.shuffle(steps)
    for step in steps:
        if step:
            image = step(image).enhance(chance.uniform(1 - STRENGTH, 1 + STRENGTH))
        else:
            hue, saturation, value = image.convert("HSV").split()
            turned = np.asarray(hue) + np.uint8(round(chance.uniform(-HUE, HUE) * 255) % 256)
            image = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
    return image
