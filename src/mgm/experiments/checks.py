"""Settings that no run can have, found before anything is written."""

from __future__ import annotations

import math

from mgm.config import Experiment
from mgm.errors import ConfigError, choose
from mgm.models import MODELS
from mgm.networks.encoder import BLOCKS, ResNetEncoder
from mgm.networks.generators import GENERATORS, IMAGE_SIZES
from mgm.training.algorithm import EXTRA_IMAGES, check_method, joint_updates

POSITIVE = {
    "data": ("image_size",),
    "model": (
        "refinement_hidden",
        "projection_size",
        "generator_width",
        "discriminator_width",
        "latent_size",
    ),
    "method": ("temperature",),
    "training": (
        "steps",
        "batch_size",
        "generator_batch_size",
        "learning_rate",
        "generator_rate",
        "discriminator_rate",
        "policy_rate",
        "validate_every",
        "checkpoint_every",
    ),
}
"""Group -> fields that must be above 0."""

NOT_NEGATIVE = {
    "data": ("num_images", "split_seed"),
    "method": (
        "refinement_weight",
        "self_supervision_weight",
        "adversarial_weight",
        "label_weight",
        "generator_updates",
        "estimation_steps",
        "estimation_rate",
        "sparsity_weight",
        "sharing_weight",
    ),
    "training": ("generator_steps", "pretrain_steps", "weight_decay", "max_gradient_norm"),
}
"""Group -> fields that must be 0 or above."""


def check_experiment(experiment: Experiment) -> None:
    """Check names and ranges of all settings, without touching data or disk.

    Raises:
        ConfigError: For the first setting that cannot be; the message says what it could be.
    """
    for fields, allowed, text in (
        (POSITIVE, lambda v: v > 0, "above 0"),
        (NOT_NEGATIVE, lambda v: v >= 0, "0 or above"),
    ):
        for group, names in fields.items():
            for name in names:
                value = getattr(getattr(experiment, group), name)
                if not (math.isfinite(value) and allowed(value)):
                    raise ConfigError(f"{name} is {value}; it must be {text}")
    training, data, model = experiment.training, experiment.data, experiment.model
    if not 0 < data.fraction <= 1:
        raise ConfigError(f"fraction is {data.fraction}; it must lie in (0, 1]")
    if not 0 <= training.joint_share <= 1:
        raise ConfigError(f"joint_share is {training.joint_share}; it must lie in [0, 1]")
    if not 0 <= training.ema < 1:
        raise ConfigError(f"ema is {training.ema}; it must lie in [0, 1)")
    if min(model.widths) < 1:
        raise ConfigError(f"widths are {model.widths}; all four must be above 0")
    choose("architecture", model.architecture, MODELS)
    choose("generator", model.generator, GENERATORS)
    for name in ("depth", "refinement_depth"):
        if getattr(model, name) not in BLOCKS:
            raise ConfigError(f"{name} is {getattr(model, name)}. Choices: {', '.join(map(str, sorted(BLOCKS)))}")
    check_method(experiment.method)
    if len(joint_updates(experiment.method)) > 1 and round(training.steps * training.joint_share) == 0:
        raise ConfigError(
            f"joint_share {training.joint_share:g} of {training.steps} steps leaves none for joint training, so "
            f"{experiment.recipe} would be its baseline; raise either, or train mt"
        )
    check_image_size(experiment)


def check_image_size(experiment: Experiment) -> None:
    """Raise `ConfigError` unless the networks can work at the image size."""
    size, stride = experiment.data.image_size, ResNetEncoder.STRIDE
    if size % stride:
        near = max(stride, round(size / stride) * stride)
        raise ConfigError(f"image_size is {size}; it must be a multiple of {stride}, for example {near}")
    generated = EXTRA_IMAGES[experiment.method.extra_images].generator != "none"
    if generated and size not in IMAGE_SIZES:
        sizes = ", ".join(str(side) for side in IMAGE_SIZES)
        raise ConfigError(f"image_size is {size}; the generators make images of these sides: {sizes}")
