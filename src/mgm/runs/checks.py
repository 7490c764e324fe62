"""Validation of all settings of a run, before anything is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mgm.config import MAX_IMAGE_SIZE, DataConfig, Experiment, ModelConfig, TrainingConfig
from mgm.data.composites import PIECES
from mgm.errors import ConfigError, choose, unknown
from mgm.method.algorithm import joint_updates, stages
from mgm.method.checks import check_method
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.method.recipes import PRESETS
from mgm.models import MODELS
from mgm.networks.decoders import DECODERS
from mgm.networks.encoder import BLOCKS, STAGE_STRIDES
from mgm.networks.generators import GENERATORS
from mgm.networks.generators.base import can_generate, nearest_sizes
from mgm.runs.augmentation import augmentation
from mgm.runs.devices import started_processes
from mgm.runs.loaders import progressive_sizes
from mgm.runs.loggers import LOGGERS
from mgm.runs.settings import GROUPS, check_numbers
from mgm.runs.starting_weights import check_encoder, required_stride
from mgm.tasks import TASKS, parse_losses
from mgm.training.schedules import SCHEDULES
from mgm.training.updates import trained_networks
from mgm.types import is_sequence, plain_size

RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "be above 0": (
        "num_rooms temperature steps batch_size generator_batch_size learning_rate encoder_rate_factor generator_rate "
        "discriminator_rate policy_rate validate_every checkpoint_every accumulate mix_count",
        lambda value: value > 0,
    ),
    "be 0 or above": (
        "num_images split_seed extra_ratio refinement_weight self_supervision_weight adversarial_weight label_weight "
        "consistency_weight generator_updates estimation_steps estimation_rate sparsity_weight sharing_weight generator_steps "
        "pretrain_steps weight_decay max_gradient_norm gradients_every patience",
        lambda value: value >= 0,
    ),
    "lie in (0, 1]": ("fraction weak_fraction mix_share zoom_share", lambda value: 0 < value <= 1),
    "lie in [0, 1]": ("mix_match pretrain_overlap confidence joint_share", lambda value: 0 <= value <= 1),
    "lie in [0, 1)": ("ema warm_up", lambda value: 0 <= value < 1),
}
"""What a value must do, in words -> names of settings, and its test."""

WIDTHS = "widths decoder_width refinement_hidden projection_size generator_width discriminator_width latent_size"
"""Settings that are numbers of channels."""
MAX_WIDTH = 8192
"""Largest number of channels."""


def check_experiment(experiment: Experiment) -> None:
    """Check names and ranges of all settings, without opening data.

    Raises:
        ConfigError: For the first invalid setting; the message lists the valid values.
    """
    check_numbers(experiment, "settings")
    values = _values(experiment)
    for text, (names, fits) in RANGES.items():
        for name in names.split():
            if not fits(values[name]):
                raise ConfigError(f"{name} is {values[name]}; it must {text}")
    for name in WIDTHS.split():
        value = values[name]
        if not all(0 < width <= MAX_WIDTH for width in (value if is_sequence(value) else (value,))):
            raise ConfigError(f"{name} is {value}; it must be above 0, and {MAX_WIDTH} at most")
    training, data, model, method = experiment.training, experiment.data, experiment.model, experiment.method
    choose("architecture", model.architecture, MODELS)
    choose("decoder", model.decoder, DECODERS)
    choose("generator", model.generator, GENERATORS)
    choose("schedule", training.schedule, SCHEDULES)
    for name in training.log:
        choose("log", name, LOGGERS)
    for name, choices in {
        "encoder_stride": tuple(STAGE_STRIDES),
        "output_stride": (2, 4),
        "loss_stride": (1, 2),
        "depth": sorted(BLOCKS),
        "refinement_depth": sorted(BLOCKS),
    }.items():
        if values[name] not in choices:
            raise ConfigError(f"{name} is {values[name]}. Choices: {', '.join(map(str, choices))}")
    check_encoder(model)
    _check_augmentation(data)
    if training.early_sizes and data.mix != "none" and (data.mix_flip or tuple(data.mix_scale) != (1, 1)):
        raise ConfigError("mix_flip and mix_scale work at one size of images; leave them out, or early_sizes")
    check_method(method)
    # tasks that a data set defines are unknown until it is opened
    parse_losses([entry for entry in method.losses if entry.partition(":")[0] in TASKS or ":" not in entry], TASKS)
    _check_sharing(model)
    updates = joint_updates(method)
    if any(update.source == "taught" for update in updates) and not training.ema:
        raise ConfigError(
            "extra_uses has consistency, with the predictions of the moving average of the weights, but ema is 0: there is none; "
            "use --ema 0.99, say"
        )
    if len(updates) > 1 and training.steps_alone == training.steps:
        raise ConfigError(
            f"joint_share {training.joint_share:g} of {training.steps} steps leaves none for joint training, so "
            f"{experiment.recipe} would be its baseline; raise either, or train mt"
        )
    generates = len(updates) > 1 and EXTRA_IMAGES[method.extra_images].generator != "none"
    if generates and "generator" not in trained_networks(stages(experiment)):
        raise ConfigError(
            f"generator_steps is {training.generator_steps}, so nothing would train the generator of {experiment.recipe}; raise it"
        )
    alone = model.architecture == "single_task"
    if method.balance.startswith("torchjd:") and (alone or model.freeze_encoder):
        raise ConfigError(
            f"balance {method.balance} combines gradients in layers that tasks share, and "
            f"{'the architecture single_task has none' if alone else 'a frozen encoder gets none'}; use --balance sum"
        )
    _check_image_size(experiment)
    _check_micro_batches(experiment)
    _check_compilation(training)


def warnings_of(experiment: Experiment) -> list[str]:
    """Warnings, in words, about valid settings that have no effect."""
    data, method, training = experiment.data, experiment.method, experiment.training
    mixes = data.mix != "none"
    needs = (
        ("--pretrain, which names the data set", data.pretrain, "pretrain_steps pretrain_overlap"),
        ("steps before joint training (--joint-share below 1)", training.steps_alone, "pretrain_overlap"),
        ("--pretrain rooms or --extra-images rooms", "rooms" in (data.pretrain, method.extra_images), "num_rooms"),
        (
            "--augment",
            data.augment,
            "flip vertical_flip quarter_turns zoom zoom_share colour hue blur noise mix mix_share",
        ),
        ("a --zoom other than 1 1", tuple(data.zoom) != (1, 1), "zoom_share"),
        ("--mix", mixes, "mix_share"),
        (
            "--mix and --augment, or --extra-images composites",
            (data.augment and mixes) or method.extra_images == "composites",
            "mix_count mix_flip mix_scale mix_match",
        ),
    )
    found: list[str] = []
    said: list[str] = []
    for need, fulfilled, names in needs:
        idle = [] if fulfilled else [option for option in _changed(experiment, names) if option not in said]
        if idle:
            found.append(f"warning: {', '.join(idle)} {'has' if len(idle) == 1 else 'have'} no effect without {need}")
            said += idle
    if mixes and data.augment and training.batch_size == started_processes() > 1:
        found += [
            "warning: --mix has no effect: images are mixed within a process, and each has one image per batch; raise --batch-size"
        ]
    alone = training.batch_size // training.accumulate == 1
    if method.self_supervision == "simclr" and method.self_supervision_weight and alone:
        found += [
            "warning: the self-supervised loss is zero: SimCLR tells the images of a batch apart, and "
            f"{'there is one' if training.batch_size == 1 else f'--accumulate {training.accumulate} leaves one at a time'}; raise "
            "--batch-size, or use --self-supervision none"
        ]
    return found


def _changed(experiment: Experiment, names: str) -> list[str]:
    """Those of some settings, as options, whose values are neither the default nor that of any preset."""
    values = _values(experiment)
    usual = [_values(of) for of in (Experiment(), *(preset.derive(Experiment()) for preset in PRESETS.values()))]
    return [
        f"--{'no-' if values[name] is False else ''}{name.replace('_', '-')}"
        for name in names.split()
        if all(values[name] != other[name] for other in usual)
    ]


def _values(experiment: Experiment) -> dict[str, Any]:
    """All settings by name, which is unique over the groups."""
    values: dict[str, Any] = {}
    for group in GROUPS:
        values |= asdict(getattr(experiment, group))
    return {name: tuple(value) if is_sequence(value) else value for name, value in values.items()}


def _check_augmentation(data: DataConfig) -> None:
    augmentation(data, {})
    low, high = data.mix_scale
    if not 0 < low <= high < math.inf:
        raise ConfigError(f"mix_scale is {low:g} {high:g}; it must be two positive numbers in ascending order")
    if data.mix not in (choices := ("none", "auto", *PIECES)):
        raise ConfigError(unknown("mix", data.mix, choices))


def _check_compilation(training: TrainingConfig) -> None:
    if training.compile == "never":
        return
    if training.checkpoint_activations:
        raise ConfigError(
            f"compile is {training.compile!r} and checkpoint_activations is on, but compiled networks cannot be computed "
            "again block by block; leave out one of the two, or use --accumulate to save memory"
        )
    if training.compile == "reduce-overhead" and training.optimizer_step != "separate":
        raise ConfigError(
            f"compile is 'reduce-overhead', but {training.optimizer_step} updates differentiate a pass several times, which CUDA "
            "graphs cannot; use --compile default, or --optimizer-step separate"
        )


def _check_micro_batches(experiment: Experiment) -> None:
    """Raise `ConfigError` unless every process's share of a batch can be split into equal micro-batches."""
    training = experiment.training
    if training.accumulate == 1:
        return
    if experiment.method.balance.startswith("torchjd:"):
        raise ConfigError(
            f"balance {experiment.method.balance} looks at the gradients of the whole batch; use it with --accumulate 1"
        )
    processes = started_processes()
    unit = processes * training.accumulate
    generates = EXTRA_IMAGES[experiment.method.extra_images].generator != "none"
    for name in ("batch_size", "generator_batch_size")[: 1 + generates]:
        size = getattr(training, name)
        if size % unit:
            raise ConfigError(
                f"{name} is {size}; it must be a multiple of {unit} (accumulate {training.accumulate} x "
                f"{processes} process{'es' if processes > 1 else ''})"
            )


def _check_sharing(model: ModelConfig) -> None:
    if model.groups and model.architecture != "task_groups":
        raise ConfigError(
            f"groups are given but the architecture is {model.architecture!r}; use the recipe task_grouping or mgm_task_grouping"
        )
    if model.freeze_encoder and not model.encoder_run and (model.encoder == "resnet" or not model.pretrained):
        raise ConfigError(
            "freeze_encoder would keep random weights; say what the encoder starts from: --encoder-run RUN, --encoder lite0, or "
            "--encoder hf:NAME_OR_FOLDER"
        )
    if model.encoder_run and model.architecture == "adashare":
        raise ConfigError(
            "encoder_run: the paths through an AdaShare encoder belong to its own tasks; use another recipe"
        )


def _check_image_size(experiment: Experiment) -> None:
    """Raise `ConfigError` unless the networks support the image size."""
    size, stride = experiment.data.size, required_stride(experiment.model)
    shown = experiment.data.image_size
    if max(size) > MAX_IMAGE_SIZE:
        raise ConfigError(f"image_size is {shown}; it must be {MAX_IMAGE_SIZE} at most")
    if any(side % stride for side in size):
        height, width = (max(stride, round(side / stride) * stride) for side in size)
        wrong = " and ".join(str(side) for side in dict.fromkeys(size) if side % stride)
        raise ConfigError(
            f"image_size is {shown}; {wrong} must be a multiple of {stride}, for example {height}x{width}"
            if size[0] != size[1]
            else f"image_size is {shown}; it must be a multiple of {stride}, for example {height}"
        )
    for side in experiment.training.early_sizes:
        if side % stride or not 0 < side <= min(size):
            raise ConfigError(f"early_sizes has {side}; sizes must be multiples of {stride}, up to image_size {shown}")
    for side, early in zip(experiment.training.early_sizes, progressive_sizes(experiment), strict=False):
        if any(length % stride for length in early):
            raise ConfigError(
                f"early_sizes has {side}; images of {plain_size(early)} have sides that are no multiples of {stride}"
            )
    generated = EXTRA_IMAGES[experiment.method.extra_images].generator != "none"
    if generated and not can_generate(size):
        raise ConfigError(
            f"image_size is {shown}, which the generators cannot make; near it they can make "
            f"{' and '.join(map(str, nearest_sizes(size, stride)))}, and recipes without a generator (mt, mgm_no_generator) take "
            f"any multiple of {stride}"
        )
