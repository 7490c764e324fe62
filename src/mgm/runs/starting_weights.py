"""Initial weights of M's encoder: pre-trained ones, or those of a finished run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mgm.config import Experiment, ModelConfig
from mgm.errors import ConfigError, DataError, RunError
from mgm.method.networks import build_networks
from mgm.models import MODELS
from mgm.models.base import MultiTaskModel
from mgm.networks.efficientnet_lite import EfficientNetLite0, load_imagenet_weights
from mgm.networks.encoder import adapt_input
from mgm.networks.pretrained import PREFIX, PretrainedEncoder, load_weights, read_structure
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.images import RunImages
from mgm.runs.pretraining import RECIPE
from mgm.runs.settings import in_words
from mgm.tasks.base import Task
from mgm.training.networks import Networks
from mgm.training.updates import Stage, trained_networks
from mgm.types import DatasetInfo

if TYPE_CHECKING:
    from mgm.runs.data import ExperimentData

LITE = "lite0"
"""Name of EfficientNet-Lite0 in settings."""


def check_encoder(model: ModelConfig) -> None:
    """Raise `ConfigError` for an unknown encoder, or one that the architecture does not support."""
    most = len(EfficientNetLite0.strides) - 1
    if not 0 <= model.frozen_stages <= most:
        raise ConfigError(
            f"frozen_stages is {model.frozen_stages}; it must be 0 to {most} (all stages: --freeze-encoder)"
        )
    if (model.frozen_stages or model.frozen_statistics) and not (model.encoder == LITE and model.pretrained):
        raise ConfigError(
            "frozen_stages and frozen_statistics keep what a pre-trained lite0 has learned; use them with --encoder lite0, "
            "else --frozen-stages 0 --no-frozen-statistics"
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
    """The number of pixels of which both sides of an image must be multiples."""
    return model.encoder_stride if model.encoder == "resnet" else 32


def with_structure(experiment: Experiment) -> Experiment:
    """Fill in the structure of the experiment's pre-trained encoder, if it has one, and what ``encoder_run`` learned from.

    Settings from a file may contain the structure of another encoder, which is replaced.

    Raises:
        ConfigError: If the encoder cannot be found.
    """
    model, backbone, learned_from = experiment.model, experiment.model.backbone, ""
    if backbone.get("name") != model.encoder:
        name = model.encoder.removeprefix(PREFIX)
        backbone = {"name": model.encoder, **read_structure(name)} if model.encoder.startswith(PREFIX) else {}
    if folder := _encoder_folder(model):
        result = read_result(folder.result)
        before, theirs = result.get("pretrained", ""), folder.experiment()
        if result["recipe"] == RECIPE:
            learned = [f"SimCLR on {result['num_photographs']:,} photographs of {result['data']}"]
        else:
            learned = [f"{result['recipe']} on {result['data']}"] if theirs.data.data != experiment.data.data else []
        learned_from = ", then ".join([*([before] if before else []), *learned])
    return replace(experiment, model=replace(model, pretrained_on=learned_from, backbone=backbone))


def with_channels(experiment: Experiment, info: DatasetInfo) -> Experiment:
    """Fill in the number of image channels."""
    return replace(experiment, model=replace(experiment.model, image_channels=info.image.channels))


def seen_before(experiment: Experiment, data: ExperimentData) -> tuple[str, ...]:
    """Digests of the images that the weights learn from before those of the run: of `pretrain` and of ``encoder_run``."""
    seen: set[str] = set() if data.pretraining is None else {*map(str, data.pretraining.digests)}
    if folder := _encoder_folder(experiment.model):
        seen |= RunImages.read(folder.images).known
    return tuple(sorted(seen))


def check_unseen(experiment: Experiment, data: ExperimentData) -> str:
    """Check that the encoder of ``encoder_run`` was not trained on test images of this run, else raise `DataError`.

    Returns a warning if this cannot be determined; empty if no test image was used.
    """
    run, folder = experiment.model.encoder_run, _encoder_folder(experiment.model)
    if not folder or not len(data.splits.test):
        return ""
    frame = folder.experiment().data.frame
    if frame != experiment.data.frame:
        return (
            f"whether {run} has seen test images cannot be told: its images are of {frame.in_words}, these of "
            f"{experiment.data.frame.in_words}"
        )
    seen = RunImages.read(folder.images).known
    count = sum(digest in seen for digest in data.reader.store.digests[data.splits.test])
    if count:
        raise DataError(
            f"encoder_run {run} has seen {count} of the {len(data.splits.test)} test images, so their scores would be too good; "
            f"pre-train without them (mgm pretrain ... --exclude {experiment.data.data}), or take the same --split-seed for both"
        )
    return ""


def start_networks(
    experiment: Experiment,
    tasks: dict[str, Task],
    schedule: tuple[Stage, ...],
    folder: RunFolder,
    device: torch.device,
    num_scenes: int = 0,
    constants: Mapping[str, Tensor] | None = None,
) -> Networks:
    """Build the networks that a schedule trains, with pre-trained weights and the encoder of ``encoder_run`` if they are set.

    Decoders start at the ``constants`` (`MultiTaskModel.start_at`) if there are any.

    Raises:
        ConfigError: If pre-trained weights cannot be read or do not fit the encoder.
    """
    networks = build_networks(
        trained_networks(schedule),
        tasks,
        experiment.model,
        image_size=experiment.data.image_size,
        num_scenes=num_scenes,
        seed=experiment.seed,
    )
    if experiment.model.pretrained and not (folder.checkpoints / "last.pt").exists():  # which contains all weights
        for module in networks.model.modules():
            if isinstance(module, EfficientNetLite0):
                load_imagenet_weights(module)
            if isinstance(module, PretrainedEncoder):
                load_weights(module, experiment.model.encoder.removeprefix(PREFIX))
    if constants:
        networks.model.start_at(constants)
    networks = networks.to(device)
    start_encoder(networks.model, experiment.model)
    return networks


def finished_run(run: str, setting: str) -> RunFolder:
    """The folder of a finished run that this run builds upon; ``setting`` gave its path.

    Raises:
        RunError: If there is no run, or it is not finished.
    """
    folder = RunFolder(Path(os.path.expanduser(run)))
    if not folder.exists:
        raise RunError(f"{setting} {run}: no run folder (no config.yaml); runs are made by: mgm train --out {run}")
    if not folder.finished:
        raise RunError(f"{setting} {run}: the run is not finished; continue it with: mgm train --resume {run}")
    return folder


def _encoder_folder(model: ModelConfig) -> RunFolder | None:
    return finished_run(model.encoder_run, "encoder_run") if model.encoder_run else None


def start_encoder(model: MultiTaskModel, config: ModelConfig) -> None:
    """Load the encoder (weights and batch-norm statistics) of the best model of ``encoder_run``, if it is set (paper Table 11).

    Raises:
        ConfigError: If the encoder of that run has a different kind or size, or belongs to other tasks.
        RunError: If there is no such run, it is not finished, or its weights are damaged.
    """
    folder = _encoder_folder(config)
    if not folder:
        return
    theirs = folder.experiment().model
    for name in ("architecture", "encoder", "depth", "widths", "encoder_stride"):
        value, ours = getattr(theirs, name), getattr(config, name)
        if value != ours:
            raise ConfigError(
                f"encoder_run {config.encoder_run}: its {name} is {value}, this run's {ours}; "
                f"use --{name.replace('_', '-')} {in_words(value)}"
            )
    if theirs.image_channels not in (3, config.image_channels):
        raise ConfigError(
            f"encoder_run {config.encoder_run}: its images have {theirs.image_channels} channels, this run's "
            f"{config.image_channels}; only encoders for RGB are fitted to other images"
        )
    state = folder.best_weights()
    encoder = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
    if not encoder:
        raise RunError(f"{folder.checkpoints / 'best.pt'} holds no encoder; train {config.encoder_run} again")
    try:
        model.encoder.load_state_dict(adapt_input(encoder, model.encoder))
    except RuntimeError:
        learned = ", ".join(folder.experiment().data.tasks or folder.info().tasks)
        raise ConfigError(
            f"encoder_run {config.encoder_run}: its encoder has a part per task or group and learned {learned}; with other "
            "tasks only the shared encoder of --architecture multi_task can be taken over"
        ) from None
