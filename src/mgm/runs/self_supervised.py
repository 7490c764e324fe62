"""Pre-training of M's encoder with SimCLR on unlabelled photographs (``mgm pretrain``), for use as `ModelConfig.encoder_run`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from mgm.config import Experiment
from mgm.data import open_photographs, open_source
from mgm.data.base import Splits
from mgm.data.loading import StoreReader
from mgm.data.store import Store, cached_store
from mgm.errors import DataError
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import stages
from mgm.method.recipes import TASKS_ALONE
from mgm.method.training import JointSteps
from mgm.runs.checks import check_experiment
from mgm.runs.devices import launch
from mgm.runs.folder import RunFolder, read_json, read_result, write_json
from mgm.runs.images import RunImages
from mgm.runs.loaders import draws
from mgm.runs.loggers import make_loggers
from mgm.runs.other_data import without_held_out
from mgm.runs.pretraining import RECIPE, pretraining
from mgm.runs.progress import RichProgress
from mgm.runs.provenance import Beginning, command_line, made_with, recorded
from mgm.runs.settings import to_dict, with_absolute_paths
from mgm.runs.splits import make_splits
from mgm.runs.starting_weights import start_networks, with_channels, with_structure
from mgm.tasks import make_tasks
from mgm.training.callbacks import Watchers
from mgm.training.memory_format import in_format, memory_format
from mgm.training.metrics_log import MetricsLog
from mgm.training.seeding import derive_seed
from mgm.training.trainer import Trainer
from mgm.training.updates import Stage


def without_tasks(experiment: Experiment) -> Experiment:
    """Settings for pre-training with SimCLR, with the network, image size and optimiser of an experiment."""
    method = replace(experiment.method, **TASKS_ALONE)  # type: ignore[arg-type]
    return replace(
        experiment,
        recipe=RECIPE,
        data=replace(experiment.data, tasks=(), fraction=1.0, num_images=0),
        method=replace(method, supervised=False, self_supervision="simclr"),
        training=replace(experiment.training, joint_share=1.0, ema=0.0, early_sizes=(), gradients_every=0),
    )


def pretrain(experiment: Experiment, out: Path, *, resume: bool = False, exclude: str = "") -> dict[str, Any]:
    """Pre-train an encoder on photographs, and write a run folder for `ModelConfig.encoder_run`.

    Args:
        experiment: Settings, from `without_tasks`. The data are a folder of photographs, or a data set whose training images are
            used.
        out: The run's folder; must be new or empty unless ``resume``.
        resume: Continue the run in ``out``, if there is one, from its last checkpoint.
        exclude: Data set whose validation and test images, by the split of the settings, are removed from the photographs.

    Returns:
        The content of ``result.json``.

    Raises:
        ConfigError: If settings contradict each other, or differ from those of the run to resume.
        DataError: If the data are missing, damaged or too few, or differ from those of the run to resume.
        RunError: If the folder is in use or contains something else.
        TrainingDivergedError: If the loss is NaN or explodes.
    """
    folder = RunFolder(out)
    begun = read_json(folder.beginning, Beginning) if resume and folder.exists else None
    if begun and folder.finished:
        return read_result(folder.result)
    check_experiment(experiment)
    experiment = with_structure(with_absolute_paths(experiment))
    fabric = launch(experiment.training)
    config = experiment.data
    source = open_photographs(config.data)
    experiment = with_channels(experiment, source.info)
    store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    if begun:
        begun.check(experiment)
        known = RunImages.read(folder.images)
        if store.manifest["checksums"] != known.checksums:
            raise DataError(
                f"{config.data} has changed since the pre-training was begun; restore it, or begin a new one"
            )
        indices = known.splits(store).train
    else:
        splits = make_splits(store, source, config, store.labelled(store.info.tasks))
        indices = _exclude_held_out(store, splits.train, exclude, experiment)
    if len(indices) < experiment.training.batch_size:
        raise DataError(
            f"{len(indices)} photographs are too few for batches of {experiment.training.batch_size}; "
            f"{'lower --batch-size' if len(indices) > 1 else 'give at least two'}"
        )
    trainer = _make_trainer(experiment, folder, store, indices, fabric)
    if rank() == 0:
        print(f"{len(indices)} photographs of {store.info.name}", file=sys.stderr)
    none = np.zeros(0, np.int64)
    with ExitStack() as stack:
        if fabric.is_global_zero:
            images = RunImages.of(store, Splits(indices, none, none), none, indices)
            beginning = Beginning(command_line(), False, 0.0, world_size(), to_dict(experiment))
            stack.push(folder.lock() if begun else folder.create(experiment, store.info, beginning, images))
        fabric.barrier()
        with recorded(folder):
            trainer.restore()
            with trainer.progress:
                trainer.run()
            result: dict[str, Any] = {
                "recipe": RECIPE,
                "data": store.info.name,
                "seed": experiment.seed,
                "image_size": config.image_size,
                "aspect": config.aspect,
                "num_labelled": 0,
                "num_photographs": len(indices),
                "steps": experiment.training.steps,
                **made_with(folder, trainer),
                "test": {},
                "pretrained": pretraining(experiment.model),
            }
            if fabric.is_global_zero:
                write_json(folder.result, result)
            fabric.barrier()
        return result


def _exclude_held_out(store: Store, indices: np.ndarray, exclude: str, experiment: Experiment) -> np.ndarray:
    """Remove photographs that equal, by content, validation or test images of the data set ``exclude``."""
    if not exclude:
        return indices
    config = experiment.data
    source = open_source(exclude)
    theirs = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    splits = make_splits(theirs, source, config, theirs.labelled(theirs.info.tasks))
    kept = without_held_out(store, indices, theirs, splits)
    if rank() == 0:
        num_left_out = len(indices) - len(kept)
        print(f"{num_left_out} photographs are left out: validation or test images of {exclude}", file=sys.stderr)
    return kept


def _make_trainer(
    experiment: Experiment, folder: RunFolder, store: Store, indices: np.ndarray, fabric: Fabric
) -> Trainer:
    schedule = stages(experiment)
    tasks = make_tasks(("depth",))  # M needs a decoder, but it is never used here
    networks = start_networks(experiment, tasks, schedule, folder, fabric.device)
    reader = StoreReader(store, (), fabric.device)
    load = draws(reader, indices, derive_seed(experiment.seed, "photographs", "order"))
    loaders = {"photographs": in_format(load, memory_format(experiment.training, fabric.device))}
    shown = [RichProgress(RECIPE, {}, schedule, fabric.device)]
    if fabric.is_global_zero:
        shown += make_loggers(folder, experiment.training.log, schedule)

    def encoder_weights(stage: Stage) -> dict[str, dict[str, Any]]:
        """The file that `start_encoder` reads."""
        state = networks["encoder"].state_dict()
        return {"best.pt": {"model": {f"encoder.{name}": value for name, value in state.items()}}}

    return Trainer(
        experiment.training,
        experiment.seed,
        schedule,
        networks,
        {},
        loaders,
        JointSteps(networks, {}, experiment.method, loaders),
        lambda model: ({}, {}),
        fabric,
        folder.checkpoints,
        MetricsLog(None if rank() else folder.metrics_log),
        Watchers(shown),
        encoder_weights,
    )
