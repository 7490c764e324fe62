"""The task decoders: features back to full resolution."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mgm.errors import ConfigError
from mgm.networks.blocks import ConvBlock, UpBlock, initialise_convolutions
from mgm.networks.encoder import WIDTHS

CONVOLUTIONS: dict[int, int] = {10: 1, 18: 1, 34: 2}
"""Depth of the encoder -> 3x3 convolutions per resolution of a decoder that matches it."""


class Decoder(nn.Module):
    """Transposed-convolution decoder in the style of Taskonomy (paper A; Zamir et al., 2018).

    A convolution narrows the features; then four times a transposed convolution doubles the size and further
    convolutions refine it; a last convolution gives the output, without activation. No skip connections: everything
    passes the shared features. Taskonomy's channels (1024 ... 16) are scaled to the encoder: its widths in reverse,
    and half the first at full resolution.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of the prediction.
        widths: Channels of the encoder's four stages.
        depth: Depth of the encoder, which the decoder matches (Table 8: ST_l and MT_l have larger decoders too).

    Raises:
        ConfigError: If the depth is unknown.

    Example:
        >>> import torch
        >>> Decoder(in_channels=360, out_channels=40)(torch.zeros(2, 360, 8, 8)).shape
        torch.Size([2, 40, 128, 128])
    """

    def __init__(self, in_channels: int, out_channels: int, widths: Sequence[int] = WIDTHS, depth: int = 18) -> None:
        super().__init__()
        if depth not in CONVOLUTIONS:
            raise ConfigError(f"unknown decoder depth {depth}. Choices: {', '.join(map(str, CONVOLUTIONS))}")
        first, second, third, _ = widths
        num_convolutions = CONVOLUTIONS[depth]
        layers = nn.Sequential(ConvBlock(in_channels, third))
        layers.extend(ConvBlock(third, third) for _ in range(num_convolutions - 1))
        channels = third
        for width in (third, second, first, max(first // 2, 1)):
            layers.append(UpBlock(channels, width))
            layers.extend(ConvBlock(width, width) for _ in range(num_convolutions))
            channels = width
        initialise_convolutions(layers)
        # no batch norm follows this one: fan-out initialisation would be far too wide for one or three outputs
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=1))
        self.layers = layers

    def forward(self, features: Tensor) -> Tensor:
        """``[B, in_channels, H/16, W/16]`` to ``[B, out_channels, H, W]``, any real number."""
        return self.layers(features)
