"""Decoders of a model: from a pyramid of features to the predictions of all heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.errors import choose
from mgm.networks.blocks import ConvReLU, initialise_convolutions
from mgm.networks.decoder import Decoder
from mgm.networks.normalization import BatchNorm2d
from mgm.types import Features, Predictions


@runtime_checkable
class FeatureShape(Protocol):
    """Channels and strides of a pyramid of features; every `Encoder` has these attributes."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]


class SeparateDecoders(nn.ModuleDict):
    """The paper's decoders: one `Decoder` per head, which reads only the coarsest level.

    Args:
        features: Shape of the features.
        channels: Head -> channels of its prediction.
        config: ``widths`` and ``depth`` of the encoder, which decoders match.
    """

    def __init__(self, features: FeatureShape, channels: Mapping[str, int], config: ModelConfig) -> None:
        in_channels, stride = features.channels[-1], features.strides[-1]
        super().__init__(
            {head: Decoder(in_channels, size, config.widths, config.depth, stride) for head, size in channels.items()}
        )

    def forward(self, features: Features) -> Predictions:
        """Head -> prediction ``[B, C, H, W]`` at the image's resolution."""
        return {head: decoder(features[-1]) for head, decoder in self.items()}


class PyramidDecoders(nn.Module):
    """A feature pyramid network shared by all heads, with a small head for each (FPN; Lin et al., 2017).

    Top-down, each level is projected to a common width by a 1x1 convolution; its sum with the upsampled coarser level passes a 3x3
    convolution. Each head consists of a 3x3 convolution and an output convolution on the finest map; its prediction is upsampled
    bilinearly to the image's resolution. Batch norm and ReLU follow every convolution but the last of a head.

    Not from the paper, whose decoders have neither skip connections nor shared layers.

    Args:
        features: Shape of the features.
        channels: Head -> channels of its prediction.
        config: ``decoder_width``: the common width; ``output_stride``: stride of the heads (finer levels are not read; if all are
            coarser, upsampling and convolution are repeated); ``loss_stride``: stride of the predictions in training mode.
    """

    def __init__(self, features: FeatureShape, channels: Mapping[str, int], config: ModelConfig) -> None:
        super().__init__()
        width, stride = config.decoder_width, config.output_stride
        self.first = sum(level < stride for level in features.strides)
        self.full_size = features.strides[0]
        self.loss_stride = config.loss_stride
        read, strides = features.channels[self.first :], features.strides[self.first :]
        self.laterals = nn.ModuleList(
            nn.Sequential(nn.Conv2d(size, width, 1, bias=False), BatchNorm2d(width)) for size in read
        )
        further = 0
        while strides[0] > stride * 2**further:
            further += 1
        self.merges = nn.ModuleList(ConvReLU(width, width) for _ in range(len(read) - 1 + further))
        self.heads = nn.ModuleDict({head: ConvReLU(width, width) for head in channels})
        initialise_convolutions(self)
        self.outputs = nn.ModuleDict({head: nn.Conv2d(width, size, 1) for head, size in channels.items()})

    def forward(self, features: Features) -> Predictions:
        """Head -> prediction ``[B, C, H, W]`` at the image's resolution, divided by ``loss_stride`` in training mode."""
        stride = self.loss_stride if self.training else 1
        size = [side * self.full_size // stride for side in features[0].shape[-2:]]
        levels = [lateral(level) for lateral, level in zip(self.laterals, features[self.first :], strict=True)]
        merged = F.relu(levels.pop())
        for merge in self.merges:
            if levels:
                level = levels.pop()
                merged = F.relu(_enlarged(merged, level.shape[-2:]) + level)
            else:
                merged = _enlarged(merged, [2 * side for side in merged.shape[-2:]])
            merged = merge(merged)
        return {head: _enlarged(self.outputs[head](block(merged)), size) for head, block in self.heads.items()}

    @torch.no_grad()
    def start_at(self, constants: Mapping[str, Tensor]) -> None:
        """Set the biases of the heads to constant predictions, head -> ``[C]``, so that no step is spent on learning the mean."""
        for head, output in self.outputs.items():
            assert isinstance(output, nn.Conv2d)
            assert output.bias is not None
            output.bias.copy_(constants[head])


def _enlarged(features: Tensor, size: Sequence[int]) -> Tensor:
    if list(features.shape[-2:]) == list(size):
        return features
    return F.interpolate(features, list(size), mode="bilinear", align_corners=False)


Decoders = SeparateDecoders | PyramidDecoders

DECODERS: dict[str, type[SeparateDecoders] | type[PyramidDecoders]] = {
    "paper": SeparateDecoders,
    "pyramid": PyramidDecoders,
}
"""`ModelConfig.decoder` -> class."""


def make_decoders(features: FeatureShape, channels: Mapping[str, int], config: ModelConfig) -> Decoders:
    """Build the decoders of a configuration.

    Args:
        features: Shape of the features, such as an encoder.
        channels: Head -> channels of its prediction.
        config: Kind and sizes of the decoders.

    Raises:
        ConfigError: If the kind is unknown.
    """
    return choose("decoder", config.decoder, DECODERS)(features, channels, config)


class DecodersOfParts(nn.ModuleList):
    """Decoders for the concatenated features of several encoders; each reads the channels of its own encoder.

    Args:
        parts: Shape of each encoder's features, in the order of concatenation.
        channels: For each encoder, head -> channels of its prediction.
        config: Kind and sizes of the decoders.
    """

    def __init__(
        self, parts: Sequence[FeatureShape], channels: Sequence[Mapping[str, int]], config: ModelConfig
    ) -> None:
        super().__init__(make_decoders(part, heads, config) for part, heads in zip(parts, channels, strict=True))
        self.sizes = [list(sizes) for sizes in zip(*(part.channels for part in parts), strict=True)]

    def forward(self, features: Features) -> Predictions:
        """Head -> prediction ``[B, C, H, W]``, for all heads."""
        levels = [torch.split(level, sizes, dim=1) for level, sizes in zip(features, self.sizes, strict=True)]
        predictions: Predictions = {}
        for decoders, own in zip(self, zip(*levels, strict=True), strict=True):
            predictions |= decoders(list(own))
        return predictions
