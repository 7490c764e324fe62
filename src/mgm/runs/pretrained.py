"""The pre-trained encoder of an experiment: its structure goes into the settings, its weights into the model."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from mgm.config import Experiment, ModelConfig
from mgm.errors import ConfigError
from mgm.models import MODELS
from mgm.networks.efficientnet_lite import EfficientNetLite0, load_imagenet_weights
from mgm.networks.pretrained import PREFIX, PretrainedEncoder, load_weights, read_structure

LITE = "lite0"
"""EfficientNet-Lite0 in settings."""


def check_encoder(model: ModelConfig) -> None:
    """Raise `ConfigError` for an encoder that does not exist, or that the architecture cannot take."""
    if not 0 <= model.frozen_stages <= len(EfficientNetLite0.strides):
        raise ConfigError(f"frozen_stages is {model.frozen_stages}; it must be 0 to {len(EfficientNetLite0.strides)}")
    if (model.frozen_stages or model.frozen_statistics) and not (model.encoder == LITE and model.pretrained):
        raise ConfigError(
            "frozen_stages and frozen_statistics keep what a pre-trained lite0 has learned; use them with --encoder lite0"
        )
    if model.encoder == "resnet":
        return
    if model.encoder != LITE and not model.encoder.startswith(PREFIX):
        raise ConfigError(f"unknown encoder {model.encoder!r}. Choices: resnet, {LITE}, {PREFIX}NAME_OR_FOLDER")
    if not MODELS[model.architecture].takes_any_encoder:
        able = ", ".join(name for name, kind in MODELS.items() if kind.takes_any_encoder)
        raise ConfigError(
            f"the architecture {model.architecture!r} works inside the paper's ResNet and cannot take a pre-trained encoder; "
            f"those that can: {able}"
        )


def required_stride(model: ModelConfig) -> int:
    """What the side of an image has to be a multiple of."""
    return model.encoder_stride if model.encoder == "resnet" else 32


def with_structure(experiment: Experiment) -> Experiment:
    """The experiment with the structure of its encoder filled in, where that is a pre-trained one.

    Settings that come from a file may hold that of another encoder, which is replaced.

    Raises:
        ConfigError: If the encoder cannot be found.
    """
    model = experiment.model
    if model.backbone.get("name") == model.encoder:
        return experiment
    name = model.encoder.removeprefix(PREFIX)
    backbone = {"name": model.encoder, **read_structure(name)} if model.encoder.startswith(PREFIX) else {}
    return replace(experiment, model=replace(model, backbone=backbone))


def load_pretrained(model: nn.Module, config: ModelConfig) -> None:
    """Put the pre-trained weights into every pre-trained encoder of a model.

    Raises:
        ConfigError: If they cannot be read or do not fit.
    """
    if not config.pretrained:
        return
    for module in model.modules():
        if isinstance(module, EfficientNetLite0):
            load_imagenet_weights(module)
        if isinstance(module, PretrainedEncoder):
            load_weights(module, config.encoder.removeprefix(PREFIX))
