"""What every generator and discriminator has in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgm.errors import ConfigError
from mgm.networks.conditioning import mean_over_classes
from mgm.networks.normalization import spectral_norm
from mgm.types import Size, SizeSetting, parse_size, plain_size

IMAGE_SIZES = (32, 64, 128, 256)
"""Sides of square images that begin at 4x4, as in the paper."""

BASE_SIDE = 4
"""Shorter side of the first feature map of a generator and the last one of a discriminator; up to 7 where the image's is no power
of two."""
MOST_ELONGATED = 4
"""Largest ratio of the sides of an image that can be generated."""


def feature_sizes(image_size: SizeSetting) -> tuple[Size, ...]:
    """Sizes of a generator's feature maps, each twice the one before: 4x4 (or 6x8), ..., ``image_size``.

    Raises:
        ConfigError: If images of that size cannot be generated.
    """
    size = parse_size(image_size)
    if not can_generate(size):
        near = " or ".join(map(str, nearest_sizes(size)))
        raise ConfigError(f"cannot generate images of {plain_size(size)} px, but of {near}")
    doublings = _doublings(min(size))
    return tuple((size[0] >> left, size[1] >> left) for left in range(doublings, -1, -1))


def can_generate(size: Size) -> bool:
    """Whether images of that size can be generated: both sides are whole multiples of a first feature map's, not too elongated."""
    shorter, longer = sorted(size)
    unit = 1 << _doublings(shorter)
    within = IMAGE_SIZES[0] <= shorter <= IMAGE_SIZES[-1] and longer <= MOST_ELONGATED * shorter
    return within and not (shorter % unit or longer % unit)


def nearest_sizes(size: Size, stride: int = 1, most: int = 2) -> list[int | str]:
    """Sizes like this one, of sides that are multiples of ``stride``, that can be generated; the nearest first."""
    units = [1 << _doublings(side) for side in IMAGE_SIZES]
    bases = [(a, b) for a in range(BASE_SIDE, 2 * BASE_SIDE) for b in range(a, MOST_ELONGATED * a + 1)]
    found = ((unit * a, unit * b) for unit in units for base in bases for a, b in (base, base[::-1]))
    able = [each for each in found if can_generate(each) and not (each[0] % stride or each[1] % stride)]

    def distance(each: Size) -> float:
        down, across = (math.log(one / other) for one, other in zip(each, size, strict=True))
        return abs(down + across) + 2 * abs(down - across)  # rather another size than another shape

    able.sort(key=distance)
    return list(dict.fromkeys(map(plain_size, able)))[:most]


def _doublings(side: int) -> int:
    return max(0, (side // BASE_SIDE).bit_length() - 1)


class Generator(nn.Module, ABC):
    """Latent and scene label to an image: ``G(z, c)`` (paper 3.2).

    Args:
        image_size: Size of the images, see `can_generate`.
        latent_size: Length ``L`` of the latent.
        num_labels: Classes ``K``; 1 is an unconditional generator.
        width: Channels at the highest resolution; lower ones have multiples of it.
        image_channels: Channels of the images.

    Raises:
        ConfigError: If images of that size cannot be generated.
    """

    def __init__(
        self, image_size: SizeSetting, latent_size: int, num_labels: int, width: int, image_channels: int = 3
    ) -> None:
        super().__init__()
        self.sizes = feature_sizes(image_size)
        self.image_size = self.sizes[-1]
        self.image_channels = image_channels
        self.latent_size = latent_size
        self.num_labels = num_labels
        self.width = width

    @abstractmethod
    def forward(self, latent: Float[Tensor, "B Z"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B _ H W"]:
        """Images ``[B, image_channels, H, W]`` in (-1, 1), float32 under autocast too.

        Args:
            latent: ``[B, L]``.
            labels: ``[B, K]`` float, one-hot or multi-hot; a row of zeros is an image of no known class.
        """


class Discriminator(nn.Module, ABC):
    """Image and scene label to a score: ``D(x, c)``, the higher the more real. Arguments and errors: see `Generator`.

    No discriminator uses batch statistics: the score of an image does not depend on the images beside it, so real and
    fake images may share a pass.
    """

    def __init__(self, image_size: SizeSetting, num_labels: int, width: int, image_channels: int = 3) -> None:
        super().__init__()
        self.sizes = feature_sizes(image_size)
        self.image_size = self.sizes[-1]
        self.image_channels = image_channels
        self.num_labels = num_labels
        self.width = width

    @abstractmethod
    def forward(self, images: Float[Tensor, "B _ H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Scores ``[B]`` for the hinge loss, any real number, float32 under autocast too.

        Args:
            images: ``[B, image_channels, H, W]`` in (-1, 1).
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
