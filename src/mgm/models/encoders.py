"""The encoder of a model: the paper's ResNet, or one with pre-trained weights."""

from __future__ import annotations

from mgm.config import ModelConfig
from mgm.networks.efficientnet_lite import EfficientNetLite0
from mgm.networks.encoder import Encoder, ResNetEncoder
from mgm.networks.pretrained import PretrainedEncoder


def make_encoder(config: ModelConfig) -> Encoder:
    """The encoder that settings describe, with random weights (`mgm.runs.starting_weights` puts in pre-trained ones).

    Raises:
        ConfigError: If the settings describe none.
    """
    if config.encoder == "lite0":
        return EfficientNetLite0(
            config.frozen_stages, frozen_statistics=config.frozen_statistics, in_channels=config.image_channels
        )
    if config.backbone:
        return PretrainedEncoder(config.backbone, config.image_channels)
    # the paper's decoders in this format have crashed inside torch 2.13 at 256 px
    channels_last = config.decoder == "pyramid"
    return ResNetEncoder(
        config.image_channels, config.depth, config.widths, config.encoder_stride, channels_last=channels_last
    )
