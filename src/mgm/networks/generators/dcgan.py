"""DCGAN (Radford et al., 2015) with conditional batch norm (paper D.5, appendix A)."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mgm.functional.precision import at_least_float32
from mgm.networks.generators.base import Discriminator, Generator, ProjectionScore
from mgm.networks.normalization import ConditionalBatchNorm2d, spectral_norm
from mgm.types import Size, SizeSetting

MAX_MULTIPLE = 16
"""Maximum number of channels, as a multiple of the width."""

Layer = TypeVar("Layer", bound=nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding)


def normal(layer: Layer) -> Layer:
    """Initialise with N(0, 0.02), biases with 0 (Radford et al., 2015)."""
    nn.init.normal_(layer.weight, std=0.02)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def channels_at(size: Size, image_size: Size, width: int) -> int:
    """Channels of a feature map: ``width`` at half the image's resolution, and twice as many at each halving."""
    return width * min(image_size[0] // (2 * size[0]), MAX_MULTIPLE)


class DCGANGenerator(Generator):
    """A dense layer and transposed convolutions; conditional batch norm and ReLU in between.

    With 64 px and width 64, these are the layers of Radford et al.: 512, 256, 128, 64 and 3 channels.
    """

    def __init__(
        self, image_size: SizeSetting, latent_size: int, num_labels: int, width: int = 64, image_channels: int = 3
    ) -> None:
        super().__init__(image_size, latent_size, num_labels, width, image_channels)
        channels = [channels_at(size, self.image_size, width) for size in self.sizes[:-1]]
        self.dense = normal(nn.Linear(latent_size, channels[0] * prod(self.sizes[0]), bias=False))
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(width, num_labels) for width in channels)
        self.convolutions = nn.ModuleList(
            normal(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False))
            for before, after in pairwise(channels)
        )
        # no batch norm follows here, hence the bias
        self.convolutions.append(normal(nn.ConvTranspose2d(channels[-1], image_channels, 4, stride=2, padding=1)))

    def forward(self, latent: Float[Tensor, "B Z"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B _ H W"]:
        """See `Generator.forward`."""
        features = self.dense(latent).unflatten(1, (-1, *self.sizes[0]))
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            features = convolution(F.relu(norm(features, labels)))
        return torch.tanh(at_least_float32(features))


class DCGANDiscriminator(Discriminator):
    """Strided convolutions with leaky ReLU down to 4x4, sum pooling, projection output.

    Two deviations from Radford et al.: spectral norm replaces batch norm, which would make scores depend on the rest of the batch
    and does not bound the discriminator for the hinge loss; and the discriminator is conditional, by projection.
    """

    def __init__(self, image_size: SizeSetting, num_labels: int, width: int = 64, image_channels: int = 3) -> None:
        super().__init__(image_size, num_labels, width, image_channels)
        channels = [image_channels, *(channels_at(size, self.image_size, width) for size in reversed(self.sizes[:-1]))]
        self.convolutions = nn.ModuleList(
            spectral_norm(normal(nn.Conv2d(before, after, 4, stride=2, padding=1)))
            for before, after in pairwise(channels)
        )
        self.score = ProjectionScore(normal(nn.Linear(channels[-1], 1)), normal(nn.Embedding(num_labels, channels[-1])))

    def forward(self, images: Float[Tensor, "B _ H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """See `Discriminator.forward`."""
        features = images
        for convolution in self.convolutions:
            features = F.leaky_relu(convolution(features), 0.2)
        return self.score(features.sum(dim=(2, 3)), labels)
