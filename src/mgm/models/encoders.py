"""Choice of the encoder: the paper's ResNet, or a pre-trained one."""

from __future__ import annotations

from mgm.config import ModelConfig
from mgm.networks.efficientnet_lite import EfficientNetLite0
from mgm.networks.encoder import Encoder, ResNetEncoder
from mgm.networks.pretrained import PretrainedEncoder


def make_encoder(config: ModelConfig) -> Encoder:
    """Build the encoder of a configuration, with random weights (`mgm.runs.starting_weights` loads pre-trained ones).

    Raises:
        ConfigError: If the settings are invalid.
    """
    if config.encoder == "lite0":
        return EfficientNetLite0(
            config.frozen_stages, frozen_statistics=config.frozen_statistics, in_channels=config.image_channels
        )
    if config.backbone:
        return PretrainedEncoder(config.backbone, config.image_channels)
    # with the paper's decoders, this format has crashed inside torch 2.13 at 256 px
    channels_last = config.decoder == "pyramid"
    return ResNetEncoder(
        config.image_channels, config.depth, config.widths, config.encoder_stride, channels_last=channels_last
    )
