"""Self-attention GAN (Zhang et al., 2019), the paper's generator (3.2, appendix A)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mgm.functional.precision import at_least_float32
from mgm.networks.generators.base import Discriminator, Generator, ProjectionScore
from mgm.networks.generators.resampling import (
    DownsampledConv2d,
    DownsampledShortcut,
    UpsampledConv2d,
    UpsampledShortcut,
)
from mgm.networks.normalization import BatchNorm2d, ConditionalBatchNorm2d, spectral_norm
from mgm.types import Size, SizeSetting

MAX_MULTIPLE = 16
"""Maximum number of channels, as a multiple of the width."""
LARGEST_ATTENDED = 32
"""Largest shorter side of the feature map with self-attention."""

Layer = TypeVar("Layer", bound=nn.Conv2d | nn.Linear | nn.Embedding)


def xavier(layer: Layer) -> Layer:
    """Initialise with Xavier's uniform distribution, biases with 0."""
    nn.init.xavier_uniform_(layer.weight)
    if not isinstance(layer, nn.Embedding) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def normalised(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Apply Xavier initialisation, then spectral normalisation."""
    return spectral_norm(xavier(layer))


def attended(sizes: Sequence[Size]) -> int:
    """Index of the generator's feature map with self-attention: the largest whose shorter side is at most 32, except the image."""
    return max(index for index, size in enumerate(sizes[:-1]) if min(size) <= LARGEST_ATTENDED)


class SelfAttention(nn.Module):
    """Self-attention over all positions: ``x + γ·attention(x)``, with γ initially 0 (Zhang et al., 2019, eq. 1-3).

    For ``C`` input channels, queries and keys have ``C/8`` and values ``C/2``. Keys and values are max-pooled by 2, as in the
    authors' code, so that each position attends to a quarter of the positions.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, values = max(channels // 8, 1), max(channels // 2, 1)
        self.query = normalised(nn.Conv2d(channels, inner, 1, bias=False))
        self.key = normalised(nn.Conv2d(channels, inner, 1, bias=False))
        self.value = normalised(nn.Conv2d(channels, values, 1, bias=False))
        self.output = normalised(nn.Conv2d(values, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` with even sides to the same shape."""
        value = F.max_pool2d(self.value(features), 2)
        key = F.max_pool2d(self.key(features), 2)
        query, key, value = (as_tokens(part, value.shape[1]) for part in (self.query(features), key, value))
        seen = F.scaled_dot_product_attention(query, key, value, scale=1.0)[:, 0]
        return features + self.gamma * self.output(seen.mT.unflatten(2, features.shape[2:]))


def as_tokens(features: Tensor, channels: int) -> Tensor:
    """Reshape ``[B, C, H, W]`` to ``[B, 1, H·W, channels]``, padded with zeros, which do not change products of queries and keys.

    With this shape and equal numbers of channels, torch has attention kernels that never store the full attention matrix.
    """
    tokens = features.flatten(2).mT
    return F.pad(tokens, (0, channels - tokens.shape[2])).contiguous()[:, None]


class GeneratorBlock(nn.Module):
    """Residual block that doubles the resolution: CBN, ReLU, upsampling convolution, CBN, ReLU, convolution; 1x1 shortcut."""

    def __init__(self, in_channels: int, out_channels: int, num_labels: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(in_channels, num_labels)
        self.conv1 = normalised(UpsampledConv2d(in_channels, out_channels))
        self.norm2 = ConditionalBatchNorm2d(out_channels, num_labels)
        self.conv2 = normalised(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.shortcut = normalised(UpsampledShortcut(in_channels, out_channels))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """``[B, in, H, W]`` and ``[B, K]`` to ``[B, out, 2H, 2W]``."""
        residual = self.conv1(F.relu(self.norm1(features, labels)))
        residual = self.conv2(F.relu(self.norm2(residual, labels)))
        return residual + self.shortcut(features)


class SAGANGenerator(Generator):
    """Dense layer, residual blocks with conditional batch norm, self-attention at 32 px; spectral norm throughout.

    With 128 px and width 64 these are the channels of Zhang et al.: 1024, 1024, 512, 256, 128, 64.
    """

    def __init__(
        self, image_size: SizeSetting, latent_size: int, num_labels: int, width: int = 64, image_channels: int = 3
    ) -> None:
        super().__init__(image_size, latent_size, num_labels, width, image_channels)
        channels = [width * min(self.image_size[0] // size[0], MAX_MULTIPLE) for size in self.sizes]
        self.dense = normalised(nn.Linear(latent_size, channels[0] * prod(self.sizes[0])))
        self.blocks = nn.ModuleList(GeneratorBlock(before, after, num_labels) for before, after in pairwise(channels))
        self.attended_block = attended(self.sizes) - 1
        self.attention = SelfAttention(channels[self.attended_block + 1])
        self.norm = BatchNorm2d(width)
        self.output = normalised(nn.Conv2d(width, image_channels, 3, padding=1))

    def forward(self, latent: Float[Tensor, "B Z"], labels: Float[Tensor, "B K"]) -> Float[Tensor, "B _ H W"]:
        """See `Generator.forward`."""
        features = self.dense(latent).unflatten(1, (-1, *self.sizes[0]))
        for index, block in enumerate(self.blocks):
            features = block(features, labels)
            if index == self.attended_block:
                features = self.attention(features)
        return torch.tanh(at_least_float32(self.output(F.relu(self.norm(features)))))


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution: ReLU, convolution, ReLU, downsampling convolution; 1x1 shortcut.

    The ``first`` block, whose input is the image, has no initial ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, *, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.conv1 = normalised(nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.conv2 = normalised(DownsampledConv2d(out_channels, out_channels))
        self.shortcut = normalised(DownsampledShortcut(in_channels, out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, H/2, W/2]``."""
        residual = self.conv1(features if self.first else F.relu(features))
        return self.conv2(F.relu(residual)) + self.shortcut(features)


class FinalBlock(nn.Module):
    """Residual block that keeps resolution and channels: ReLU, convolution, ReLU, convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = normalised(nn.Conv2d(channels, channels, 3, padding=1))
        self.conv2 = normalised(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape."""
        return features + self.conv2(F.relu(self.conv1(F.relu(features))))


class SAGANDiscriminator(Discriminator):
    """Residual blocks down to 4x4, self-attention at 32 px, sum pooling, projection output; spectral norm throughout.

    With 128 px and width 64, these are the channels of Zhang et al.: 64, 128, 256, 512, 1024, 1024.
    """

    def __init__(self, image_size: SizeSetting, num_labels: int, width: int = 64, image_channels: int = 3) -> None:
        super().__init__(image_size, num_labels, width, image_channels)
        down = self.sizes[-2::-1]
        channels = [image_channels, *(width * min(self.image_size[0] // (2 * size[0]), MAX_MULTIPLE) for size in down)]
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(before, after, first=index == 0)
            for index, (before, after) in enumerate(pairwise(channels))
        )
        self.attended_block = down.index(self.sizes[attended(self.sizes)])
        self.attention = SelfAttention(channels[self.attended_block + 1])
        self.final = FinalBlock(channels[-1])
        self.score = ProjectionScore(xavier(nn.Linear(channels[-1], 1)), xavier(nn.Embedding(num_labels, channels[-1])))

    def forward(self, images: Float[Tensor, "B _ H W"], labels: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """See `Discriminator.forward`."""
        features = images
        for index, block in enumerate(self.blocks):
            features = block(features)
            if index == self.attended_block:
                features = self.attention(features)
        return self.score(F.relu(self.final(features)).sum(dim=(2, 3)), labels)
