"""The paper's task decoder, from the coarsest features to full resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from mgm.errors import ConfigError
from mgm.networks.blocks import ConvBlock, UpBlock, initialise_convolutions
from mgm.networks.encoder import WIDTHS

REPEATS: dict[int, int] = {10: 1, 18: 1, 34: 2}
"""Depth of the encoder -> number of repetitions of each plain convolution in the matching decoder."""

TAIL = ((64, 64), (32, 32), (16, 32), (16, 0))
"""Taskonomy's channels from stride 16 on: of each transposed convolution, and of the plain one that follows (0: none)."""


class Decoder(nn.Module):
    """Decoder in the style of Taskonomy (paper A; Zamir et al., 2018), on ``E(x)`` alone, without skip connections.

    As in Taskonomy's published networks: plain 3x3 convolutions at the features' resolution (there 1024, 1024, 512, 256, 256,
    128 channels), then alternating transposed convolutions of stride 2 and plain ones (there 64, 64, 32, 32, 16, 32, 16), then a
    3x3 convolution for the output, without Taskonomy's final tanh, since outputs are logits and metres.

    The paper does not give widths. Here the widths of the encoder's stages, last to first, replace 1024, 512, 256 and 128; the
    channels after them are Taskonomy's, but at most those of the first stage. Features whose number of channels differs from the
    last stage's (a pre-trained encoder) first pass a 1x1 convolution. Each factor of 2 beyond stride 16 adds a transposed and a
    plain convolution.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of the prediction.
        widths: Channels of the encoder's four stages.
        depth: Depth of the encoder, which the decoder matches (Table 8: ST_l and MT_l have larger decoders too).
        stride: Stride of the features in pixels, a power of two.

    Raises:
        ConfigError: If the depth is unknown.

    Example:
        >>> import torch
        >>> Decoder(in_channels=360, out_channels=40)(torch.zeros(2, 360, 8, 8)).shape
        torch.Size([2, 40, 128, 128])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = WIDTHS,
        depth: int = 18,
        stride: int = 16,
    ) -> None:
        super().__init__()
        if depth not in REPEATS:
            raise ConfigError(f"unknown decoder depth {depth}. Choices: {', '.join(map(str, REPEATS))}")
        first, second, third, last = widths
        layers = nn.Sequential()
        channels = in_channels
        if in_channels != last:
            layers.append(ConvBlock(in_channels, last, kernel_size=1))
            channels = last

        def convolve(width: int) -> None:
            nonlocal channels
            for _ in range(REPEATS[depth]):
                layers.append(ConvBlock(channels, width))
                channels = width

        for width in (last, last, third, second, second, first):
            convolve(width)
        extra = (TAIL[0],) * max(0, round(math.log2(stride / 16)))
        for up, plain in (*extra, *TAIL[max(0, round(math.log2(16 / stride))) :]):
            layers.append(UpBlock(channels, min(up, first)))
            channels = min(up, first)
            if plain:
                convolve(min(plain, first))
        initialise_convolutions(layers)
        # no batch norm follows, so fan-out initialisation would be far too large for one or three outputs
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1))
        self.layers = layers

    def forward(self, features: Float[Tensor, "B C _ _"]) -> Float[Tensor, "B D H W"]:
        """Map features ``[B, in_channels, H/stride, W/stride]`` to an unbounded prediction ``[B, out_channels, H, W]``."""
        return self.layers(features)
