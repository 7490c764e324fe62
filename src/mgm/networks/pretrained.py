"""Encoders from pre-trained backbones of the transformers library."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mgm.errors import ConfigError, choose, reason_of
from mgm.networks.encoder import Encoder, adapt_input, check_sides
from mgm.networks.normalization import BatchNorm2d
from mgm.types import Features, is_sequence

PREFIX = "hf:"
"""Prefix of pre-trained encoders' names in settings."""
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
"""Normalisation for models that do not define their own."""
NO_DROPOUT = ("drop_path_rate", "hidden_dropout_prob", "attention_probs_dropout_prob")
"""Settings of a backbone that are set to 0: dropout draws from the global random state, which would prevent bitwise resuming."""
NOT_STRUCTURE = (
    "_name_or_path",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "problem_type",
    "transformers_version",
)
MOST_LAYERS, MOST_VALUES = 512, 1 << 32
"""Limits on a backbone's layers and on its values (parameters and buffers); the largest models of these families have 60 layers and
1.4 billion parameters."""
NEW_LAYERS = "hidden_states_norms."
"""Prefix of layers that a backbone has but checkpoints of the full model do not; they start as the identity."""


FAMILIES: dict[str, bool] = {
    "resnet": False,
    "convnext": False,
    "convnextv2": False,
    "swin": False,
    "dinov2": True,
    "dinov2_with_registers": True,
}
"""``model_type`` of a backbone -> whether all its layers have the same resolution (a plain vision transformer)."""


class PretrainedEncoder(Encoder):
    """A transformers backbone as an encoder, without further parameters.

    Images are normalised as in the backbone's pre-training. Convolutional and windowed backbones give levels of strides 4, 8, 16
    and 32. Vision transformers give up to four of their layers, all of stride 16; the image is resized so that each patch covers
    16 of its pixels (for patches of 14, 64 px become 56 px).

    Weights are random until `load_weights`. Images with one channel are converted to grey RGB; for other numbers of channels, the
    first layer and the normalisation repeat those of red, green and blue (`mgm.networks.encoder.adapted_input`).

    Args:
        structure: From `read_structure`.
        in_channels: Channels of the images.

    Raises:
        ConfigError: If transformers is not installed or does not support the structure.
    """

    image_mean: Tensor
    image_std: Tensor

    def __init__(self, structure: Mapping[str, Any], in_channels: int = 3) -> None:
        super().__init__()
        transformers = _transformers()
        values = dict(structure.get("backbone", {}))
        _check_layers(values, "model.backbone")
        kind = values.pop("model_type", "none")
        self.looks_grey = in_channels == 1
        if in_channels not in (1, 3):
            values["num_channels"] = in_channels
        flat = choose("kind of encoder", kind, FAMILIES)
        try:
            config = transformers.AutoConfig.for_model(kind, **values)
            build = partial(_backbone_class(config)._from_config, config, dtype=torch.float32)
            with torch.device("meta"), torch.random.fork_rng(devices=[]):  # only shapes, without allocating memory
                shapes = build()
            count = sum(tensor.numel() for tensor in (*shapes.parameters(), *shapes.buffers()))
            if count > MOST_VALUES:
                raise ConfigError(
                    f"model.backbone: it has {count:,} values, more than {MOST_VALUES:,}; use a smaller encoder"
                )
            backbone = build()
            colours = torch.arange(3 if self.looks_grey else in_channels) % 3
            normalisation = {key: torch.tensor(structure[key])[colours, None, None] for key in IMAGENET}
        except ConfigError:
            raise
        except Exception as error:  # transformers raises many kinds of errors
            raise ConfigError(
                f"model.backbone does not describe a backbone of transformers ({reason_of(error)}); "
                "leave it out, so that training fills it in"
            ) from None
        self.backbone = with_own_batch_norm(backbone)
        self.side: int = structure["backbone"]["patch_size"] if flat else 16
        """Pixels of the backbone's input per 16 pixels of the image."""
        self.channels = tuple(backbone.channels)
        self.strides = (16,) * len(self.channels) if flat else (4, 8, 16, 32)
        for key, values in normalisation.items():
            self.register_buffer(key, values, persistent=False)

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`."""
        check_sides(images, self.strides[-1])
        if self.looks_grey:
            images = images.expand(-1, 3, -1, -1)
        pixels = ((images + 1) / 2 - self.image_mean) / self.image_std
        if self.side != 16:
            size = [side // 16 * self.side for side in images.shape[-2:]]
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        return list(self.backbone(pixels).feature_maps)


def _check_layers(shape: Mapping[str, Any], where: str) -> None:
    """Raise `ConfigError` if there are so many layers that building them would exhaust the memory."""
    for name in ("depths", "num_hidden_layers"):
        numbers = shape.get(name, ())
        numbers = [numbers] if isinstance(numbers, int) else numbers
        if is_sequence(numbers) and sum(max(1, n) for n in numbers if isinstance(n, int)) > MOST_LAYERS:
            raise ConfigError(f"{where}: {name} means more than {MOST_LAYERS} layers; use a smaller encoder")


def with_own_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch norm by `BatchNorm2d`, which can freeze its statistics and spans all processes; weights are kept."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            own = BatchNorm2d(child.num_features)
            own.load_state_dict(child.state_dict())
            setattr(module, name, own)
        else:
            with_own_batch_norm(child)
    return module


def read_structure(name: str) -> dict[str, Any]:
    """Read a saved model's structure and normalisation for `PretrainedEncoder`, as plain values.

    Args:
        name: A folder with ``config.json``, or a name on the Hugging Face Hub.

    Raises:
        ConfigError: If there is no such model, or it does not belong to `FAMILIES`.
    """
    transformers = _transformers()
    try:
        _check_layers(transformers.PreTrainedConfig.get_config_dict(name)[0], name)
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except ConfigError:
        raise
    except Exception as error:  # transformers raises many kinds of errors
        raise ConfigError(
            f"no encoder {name!r}: neither a folder with a config.json that transformers knows, nor in its cache, nor reachable "
            f"on the Hub ({reason_of(error)})"
        ) from None
    flat = choose("kind of encoder", config.model_type, FAMILIES)
    config.out_features = _quarters(config.stage_names) if flat else config.stage_names[-4:]
    shape = {key: value for key, value in config.to_dict().items() if key not in NOT_STRUCTURE}
    shape |= {key: 0.0 for key in NO_DROPOUT if key in shape}
    return {"backbone": shape, **_normalisation(transformers, name)}


def _quarters(stages: Sequence[str]) -> list[str]:
    """Names of up to four evenly spaced layers, including the last; ``stages`` starts with the stem."""
    layers = stages[1:]
    return sorted({layers[len(layers) * (quarter + 1) // 4 - 1] for quarter in range(4)}, key=layers.index)


def _normalisation(transformers: Any, name: str) -> dict[str, list[float]]:
    try:
        values, _ = transformers.ImageProcessingMixin.get_image_processor_dict(name)
    except (OSError, ValueError):
        return dict(IMAGENET)
    return {key: [float(number) for number in values.get(key) or default] for key, default in IMAGENET.items()}


def load_weights(encoder: PretrainedEncoder, name: str) -> None:
    """Load the pre-trained weights into an encoder, only from safetensors files, which cannot contain code.

    Raises:
        ConfigError: If the weights are missing, are not in safetensors files, or do not fit the encoder.
    """
    config: Any = copy.deepcopy(encoder.backbone.config)
    config.num_channels = 3
    try:
        loaded, report = _backbone_class(config).from_pretrained(  # type: ignore[arg-type]
            name, config=config, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    except Exception as error:  # transformers raises many kinds of errors
        raise ConfigError(
            f"cannot read the weights of encoder {name!r} ({reason_of(error)}); a model.safetensors is needed "
            "(other formats can hold code and are not read)"
        ) from None
    missing = sorted(key for key in report["missing_keys"] if not key.startswith(NEW_LAYERS))
    if missing:
        raise ConfigError(
            f"the weights of encoder {name!r} do not fit its config.json: {len(missing)} are missing, the first is {missing[0]}"
        )
    encoder.backbone.load_state_dict(adapt_input(loaded.state_dict(), encoder.backbone))


def _transformers() -> Any:
    try:
        transformers = import_module("transformers")  # whose types would take pyright half a minute
    except ImportError:
        raise ConfigError("pre-trained encoders need transformers: pip install 'mgm[encoders]'") from None
    transformers.logging.set_verbosity_error()  # hide its warnings about unused classifier weights
    transformers.logging.disable_progress_bar()
    return transformers


def _backbone_class(config: Any) -> Any:
    # AutoBackbone.from_pretrained would be simpler, but does not accept folders (transformers 5)
    return _transformers().MODEL_FOR_BACKBONE_MAPPING[type(config)]
