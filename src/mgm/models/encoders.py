"""The encoder of a model and the decoders that fit it: the paper's ResNet, or a pre-trained backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mgm.networks.decoder import Decoder
from mgm.networks.encoder import ResNetEncoder
from mgm.networks.pretrained import Neck, PretrainedEncoder

Encoder = ResNetEncoder | PretrainedEncoder


def make_encoder(depth: int, widths: Sequence[int], backbone: Mapping[str, Any] | None = None) -> Encoder:
    """An encoder with random weights.

    Args:
        depth: Layers of a ResNet.
        widths: Channels of its stages.
        backbone: Instead of these, the structure of a pre-trained one (`mgm.networks.pretrained.read_structure`).
    """
    return PretrainedEncoder(backbone) if backbone else ResNetEncoder(3, depth, widths)


def make_decoder(encoder: Encoder, channels: int, depth: int, widths: Sequence[int]) -> nn.Module:
    """A decoder for the encoder's features; for those of a backbone it begins with a neck.

    The neck belongs to the decoder, so that it learns even where the encoder is frozen.
    """
    if isinstance(encoder, PretrainedEncoder):
        return nn.Sequential(Neck(encoder.out_channels, widths[-1]), Decoder(widths[-1], channels, widths, depth))
    return Decoder(encoder.out_channels, channels, widths, depth)
