"""What every generator and discriminator has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgm.errors import ConfigError
from mgm.networks.conditioning import mean_over_classes
from mgm.networks.normalization import spectral_norm

IMAGE_SIZES = (32, 64, 128, 256)
"""Sides of images that can be generated."""

BASE_SIDE = 4
"""Side of the first feature map of a generator and the last one of a discriminator."""


def sides(image_size: int) -> tuple[int, ...]:
    """Sides of a generator's feature maps: 4, 8, ..., ``image_size``.

    Raises:
        ConfigError: If images of that size cannot be generated.
    """
    if image_size not in IMAGE_SIZES:
        raise ConfigError(f"cannot generate images of {image_size} px. Choices: {', '.join(map(str, IMAGE_SIZES))}")
    return tuple(BASE_SIDE << step for step in range((image_size // BASE_SIDE).bit_length()))


class Generator(nn.Module, ABC):
    """Latent and scene label to an image: ``G(z, c)`` (paper 3.2).

    Args:
        image_size: Side of the images, one of `IMAGE_SIZES`.
        latent_size: Length ``L`` of the latent.
        num_labels: Classes ``K``; 1 is an unconditional generator.
        width: Channels at the highest resolution; lower ones have multiples of it.
        image_channels: Channels of the images.

    Raises:
        ConfigError: If images of that size cannot be generated.
    """

    def __init__(self, image_size: int, latent_size: int, num_labels: int, width: int, image_channels: int = 3) -> None:
        super().__init__()
        self.sides = sides(image_size)
        self.image_size = image_size
        self.image_channels = image_channels
        self.latent_size = latent_size
        self.num_labels = num_labels
        self.width = width

    @abstractmethod
    def forward(self, latent: Float[Tensor, "B Z"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B _ S S"]:
        """Images ``[B, image_channels, S, S]`` in (-1, 1), float32 under autocast too.

        Args:
            latent: ``[B, L]``.
            labels: ``[B, K]`` float, one-hot or multi-hot; a row of zeros is an image of no known class.
        """


class Discriminator(nn.Module, ABC):
    """Image and scene label to a score: ``D(x, c)``, the higher the more real. Arguments and errors: see `Generator`.

    No discriminator uses batch statistics: the score of an image does not depend on the images beside it, so real and
    fake images may share a pass.
    """

    def __init__(self, image_size: int, num_labels: int, width: int, image_channels: int = 3) -> None:
        super().__init__()
        self.sides = sides(image_size)
        self.image_size = image_size
        self.image_channels = image_channels
        self.num_labels = num_labels
        self.width = width

    @abstractmethod
    def forward(self, images: Float[Tensor, "B _ S S"], labels: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Scores ``[B]`` for the hinge loss, any real number, float32 under autocast too.

        Args:
            images: ``[B, image_channels, S, S]`` in (-1, 1).
            labels: As of `Generator.forward`.
        """


class ProjectionScore(nn.Module):
    """``ψᵀh + ⟨e(c), h⟩``: the output of a projection discriminator (Miyato & Koyama, 2018), in full precision.

    ``e(c)`` is the mean of the active classes' embeddings. Both weights are spectrally normalised.

    Args:
        dense: A layer from the features' channels to 1, initialised.
        embedding: A table ``[K, channels]``, initialised.
    """

    def __init__(self, dense: nn.Linear, embedding: nn.Embedding) -> None:
        super().__init__()
        self.dense = spectral_norm(dense)
        self.embedding = spectral_norm(embedding)

    def forward(self, pooled: Float[Tensor, "B C"], labels: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Pooled features ``[B, C]`` and labels ``[B, K]`` to scores ``[B]``."""
        table = self.embedding.weight
        assert isinstance(table, Tensor)
        with torch.autocast(pooled.device.type, enabled=False):
            pooled = pooled.to(table.dtype)
            return self.dense(pooled).squeeze(1) + (mean_over_classes(table, labels) * pooled).sum(dim=1)


@dataclass(frozen=True)
class GeneratorPair:
    """A generator and the discriminator that belongs to it."""

    generator: type[Generator]
    discriminator: type[Discriminator]
