"""Interfaces of generators and discriminators, and the image sizes that they support."""

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
"""Sides of square images whose first feature map is 4x4, as in the paper."""

BASE_SIDE = 4
"""Shorter side of a generator's first and a discriminator's last feature map; up to 7 if the image's side is not a power of two."""
MOST_ELONGATED = 4
"""Largest aspect ratio of a generated image."""


def feature_sizes(image_size: SizeSetting) -> tuple[Size, ...]:
    """Sizes of a generator's feature maps, each twice the previous one: 4x4 (or 6x8), ..., ``image_size``.

    Raises:
        ConfigError: If images of this size cannot be generated.
    """
    size = parse_size(image_size)
    if not can_generate(size):
        near = " or ".join(map(str, nearest_sizes(size)))
        raise ConfigError(f"cannot generate images of {plain_size(size)} px, but of {near}")
    doublings = _doublings(min(size))
    return tuple((size[0] >> left, size[1] >> left) for left in range(doublings, -1, -1))


def can_generate(size: Size) -> bool:
    """Whether images of this size can be generated.

    The shorter side must be 32 to 256 px, the longer side at most 4 times that, and both must be reached from a first feature map
    with a shorter side of 4 to 7 by doubling.
    """
    shorter, longer = sorted(size)
    unit = 1 << _doublings(shorter)
    within = IMAGE_SIZES[0] <= shorter <= IMAGE_SIZES[-1] and longer <= MOST_ELONGATED * shorter
    return within and not (shorter % unit or longer % unit)


def nearest_sizes(size: Size, stride: int = 1, most: int = 2) -> list[int | str]:
    """Up to ``most`` sizes near ``size`` that can be generated, nearest first; sides are multiples of ``stride``."""
    units = [1 << _doublings(side) for side in IMAGE_SIZES]
    bases = [(a, b) for a in range(BASE_SIDE, 2 * BASE_SIDE) for b in range(a, MOST_ELONGATED * a + 1)]
    found = ((unit * a, unit * b) for unit in units for base in bases for a, b in (base, base[::-1]))
    able = [each for each in found if can_generate(each) and not (each[0] % stride or each[1] % stride)]

    def distance(each: Size) -> float:
        down, across = (math.log(one / other) for one, other in zip(each, size, strict=True))
        return abs(down + across) + 2 * abs(down - across)  # prefer another size to another aspect ratio

    able.sort(key=distance)
    return list(dict.fromkeys(map(plain_size, able)))[:most]


def _doublings(side: int) -> int:
    return max(0, (side // BASE_SIDE).bit_length() - 1)


class Generator(nn.Module, ABC):
    """``G(z, c)``: maps a latent and a scene label to an image (paper 3.2).

    Args:
        image_size: Size of the images, see `can_generate`.
        latent_size: Dimension ``L`` of the latent.
        num_labels: Number of classes ``K``; 1: an unconditional generator.
        width: Channels at the highest resolution; lower resolutions have multiples of it.
        image_channels: Channels of the images.

    Raises:
        ConfigError: If images of this size cannot be generated.
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
        """Generate images ``[B, image_channels, H, W]`` in (-1, 1), float32 even under autocast.

        Args:
            latent: ``[B, L]``.
            labels: ``[B, K]`` float, one-hot or multi-hot; a row of zeros means an unknown class.
        """


class Discriminator(nn.Module, ABC):
    """``D(x, c)``: scores how real an image is, given its scene label. Arguments and errors: see `Generator`.

    Discriminators do not use batch statistics. So the score of an image does not depend on the rest of the batch, and real and
    fake images can share a forward pass.
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
        """Compute unbounded scores ``[B]`` for the hinge loss, higher is more real; float32 even under autocast.

        Args:
            images: ``[B, image_channels, H, W]`` in (-1, 1).
            labels: As for `Generator.forward`.
        """


class ProjectionScore(nn.Module):
    """``ψᵀh + ⟨e(c), h⟩``: the output of a projection discriminator (Miyato & Koyama, 2018), in full precision.

    ``e(c)`` is the mean of the active classes' embeddings. Both weights are spectrally normalised.

    Args:
        dense: Initialised layer from the features' channels to 1.
        embedding: Initialised table ``[K, channels]``.
    """

    def __init__(self, dense: nn.Linear, embedding: nn.Embedding) -> None:
        super().__init__()
        self.dense = spectral_norm(dense)
        self.embedding = spectral_norm(embedding)

    def forward(self, pooled: Float[Tensor, "B C"], labels: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Map pooled features ``[B, C]`` and labels ``[B, K]`` to scores ``[B]``."""
        table = self.embedding.weight
        assert isinstance(table, Tensor)
        with torch.autocast(pooled.device.type, enabled=False):
            pooled = pooled.to(table.dtype)
            return self.dense(pooled).squeeze(1) + (mean_over_classes(table, labels) * pooled).sum(dim=1)


@dataclass(frozen=True)
class GeneratorPair:
    """A generator and its discriminator."""

    generator: type[Generator]
    discriminator: type[Discriminator]
