"""Pre-trained backbones of the transformers library as encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgm.errors import ConfigError, choose
from mgm.networks.normalization import BatchNorm2d

PREFIX = "hf:"
"""What marks the name of a pre-trained encoder in settings."""
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
"""Normalisation where a model does not come with its own."""
NO_DROPOUT = ("drop_path_rate", "hidden_dropout_prob", "attention_probs_dropout_prob")
"""Switched off: they draw from the global random stream, so that a run could not be resumed bitwise."""
NOT_STRUCTURE = (
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "problem_type",
    "transformers_version",
)
NEW_LAYERS = "hidden_states_norms."
"""Layers of a backbone that no checkpoint of the whole model has: they start as the identity."""


@dataclass(frozen=True)
class Family:
    """What has to be known of a kind of backbone."""

    num_features: int
    """How many of its last feature maps are used: those of stride 16 and 32, or a transformer's only one."""
    side: Callable[[Mapping[str, Any]], int] = lambda config: 16
    """Pixels of the backbone's input that correspond to one place of the features."""


_PYRAMID = Family(num_features=2)
_PATCHES = Family(num_features=1, side=lambda config: config["patch_size"])

FAMILIES: dict[str, Family] = {
    "resnet": _PYRAMID,
    "convnext": _PYRAMID,
    "convnextv2": _PYRAMID,
    "swin": _PYRAMID,
    "dinov2": _PATCHES,
    "dinov2_with_registers": _PATCHES,
}
"""``model_type`` of a backbone's configuration -> how it is used."""


class PretrainedEncoder(nn.Module):
    """A backbone between images in (-1, 1) and features of stride 16; all of its parameters are the backbone's own.

    Images are normalised as in its pre-training. The feature maps of stride 16 and 32 are put on top of one another at
    stride 16. A vision transformer gets the image at the size at which one patch is one place of the features (64 px: 56 px
    for patches of 14). It starts with random weights; `load_weights` puts in the pre-trained ones.

    Args:
        structure: From `read_structure`.

    Raises:
        ConfigError: If transformers is not installed, or the structure is none that it knows.
    """

    STRIDE: ClassVar[int] = 16

    image_mean: Tensor
    image_std: Tensor
    out_channels: int
    """Channels of the features."""

    def __init__(self, structure: Mapping[str, Any]) -> None:
        super().__init__()
        transformers = _transformers()
        values = dict(structure.get("backbone", {}))
        kind = values.pop("model_type", "none")
        family = choose("kind of encoder", kind, FAMILIES)
        try:
            config = transformers.AutoConfig.for_model(kind, **values)
            backbone = _backbone_class(config)._from_config(config, dtype=torch.float32)
            normalisation = {key: torch.tensor(structure[key])[:, None, None] for key in IMAGENET}
        except Exception as error:  # the library has many kinds of its own
            raise ConfigError(
                f"model.backbone does not describe a backbone of transformers ({str(error).splitlines()[0]}); "
                "leave it out, so that training fills it in"
            ) from None
        self.backbone = with_own_batch_norm(backbone)
        self.side = family.side(structure["backbone"])
        self.out_channels = sum(backbone.channels)
        for key, values in normalisation.items():
            self.register_buffer(key, values, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: ``[B, 3, H, W]`` RGB in (-1, 1), both sides multiples of 16.

        Returns:
            ``[B, out_channels, H/16, W/16]``, any real number.

        Raises:
            ConfigError: If a side is not a multiple of 16.
        """
        height, width = images.shape[-2:]
        if height % self.STRIDE or width % self.STRIDE:
            raise ConfigError(
                f"images of {height}x{width} pixels: both sides must be multiples of {self.STRIDE}; set data.image_size"
            )
        places = (height // self.STRIDE, width // self.STRIDE)
        pixels = ((images + 1) / 2 - self.image_mean) / self.image_std
        if self.side != self.STRIDE:
            size = (places[0] * self.side, places[1] * self.side)
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        maps = self.backbone(pixels).feature_maps
        return torch.cat([_resized(features, places) for features in maps], dim=1)


def _resized(features: Tensor, size: tuple[int, int]) -> Tensor:
    same = features.shape[-2:] == size
    return features if same else F.interpolate(features, size, mode="bilinear", align_corners=False)


class Neck(nn.Sequential):
    """1x1 convolution, batch norm, leaky ReLU: from a backbone's features to the number of channels that a decoder expects."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), BatchNorm2d(out_channels), nn.LeakyReLU(0.2)
        )


def with_own_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch norm by one whose statistics can be held still and span all processes; weights stay."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            own = BatchNorm2d(child.num_features)
            own.load_state_dict(child.state_dict())
            setattr(module, name, own)
        else:
            with_own_batch_norm(child)
    return module


def read_structure(name: str) -> dict[str, Any]:
    """What `PretrainedEncoder` needs to know of a saved model, as plain values: its shape and its normalisation.

    Args:
        name: A folder with ``config.json``, or a name on the Hugging Face Hub.

    Raises:
        ConfigError: If there is no such model, or it is none of `FAMILIES`.
    """
    transformers = _transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # the library has many kinds of its own
        raise ConfigError(
            f"no encoder {name!r}: neither a folder with a config.json that transformers knows, nor in its cache, nor reachable "
            f"on the Hub ({str(error).splitlines()[0]})"
        ) from None
    family = choose("kind of encoder", config.model_type, FAMILIES)
    config.out_features = config.stage_names[-family.num_features :]
    shape = {key: value for key, value in config.to_dict().items() if key not in NOT_STRUCTURE}
    shape |= {key: 0.0 for key in NO_DROPOUT if key in shape}
    return {"backbone": shape, **_normalisation(transformers, name)}


def _normalisation(transformers: Any, name: str) -> dict[str, list[float]]:
    try:
        values, _ = transformers.ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError):
        return dict(IMAGENET)
    return {key: [float(number) for number in values.get(key) or default] for key, default in IMAGENET.items()}


def load_weights(encoder: PretrainedEncoder, name: str) -> None:
    """Put the pre-trained weights into an encoder. They are read from safetensors alone, which hold no code.

    Raises:
        ConfigError: If the weights are missing, are no safetensors, or do not fit.
    """
    config = encoder.backbone.config
    try:
        loaded, report = _backbone_class(config).from_pretrained(  # type: ignore[arg-type]
            name, config=config, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except Exception as error:  # the library has many kinds of its own
        raise ConfigError(
            f"cannot read the weights of encoder {name!r} ({str(error).splitlines()[0]}); a model.safetensors is needed "
            "(other formats can hold code and are not read)"
        ) from None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(NEW_LAYERS))
    if missing:
        raise ConfigError(
            f"the weights of encoder {name!r} do not fit its config.json: {len(missing)} are missing, the first is {missing[0]}"
        )
    encoder.backbone.load_state_dict(loaded.state_dict())


def _transformers() -> Any:
    try:
        import transformers
        from transformers.utils import logging
    except ImportError:
        raise ConfigError("pre-trained encoders need transformers: pip install 'mgm[encoders]'") from None
    logging.set_verbosity_error()  # its report of unused classifier weights is no news here
    logging.disable_progress_bar()
    return transformers


def _backbone_class(config: Any) -> Any:
    # AutoBackbone.from_pretrained would do, but (transformers 5) takes no folders
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

    return MODEL_FOR_BACKBONE_MAPPING[type(config)]
