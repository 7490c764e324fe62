"""A complete run: load the data, train, score the best model, write the result."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock
from lightning_fabric import Fabric
from torch import nn

from mgm.config import DataConfig, Experiment
from mgm.errors import ConfigError, DataError
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import joint_updates, stages
from mgm.method.recipes import baseline_of
from mgm.method.training import JointSteps
from mgm.runs.annotator import make_annotator
from mgm.runs.augmentation import strengthening
from mgm.runs.budget import fit_to_minutes, measure
from mgm.runs.checks import check_experiment, warnings_of
from mgm.runs.data import ExperimentData, load_data
from mgm.runs.devices import launch
from mgm.runs.folder import RunFolder, read_json, read_result
from mgm.runs.images import RunImages, open_run_data
from mgm.runs.loaders import label_stride, make_loaders
from mgm.runs.loggers import make_loggers
from mgm.runs.progress import RichProgress
from mgm.runs.provenance import Beginning, command_line, recorded, write_history
from mgm.runs.result import finish
from mgm.runs.scenes import without_scenes
from mgm.runs.settings import to_dict, with_absolute_paths
from mgm.runs.stages import SharedStages, check_stages_folder
from mgm.runs.starting_weights import check_unseen, seen_before, start_networks, with_channels, with_structure
from mgm.training.callbacks import Watchers
from mgm.training.evaluate import Scores, constant_predictor, evaluate, evaluate_model
from mgm.training.metrics_log import MetricsLog
from mgm.training.selection import Skills, task_skills
from mgm.training.trainer import Progress, Trainer

DISTORTED = math.log(1.1)
"""Change of the aspect ratio, as the absolute logarithm of a factor, from which on images are said to be squeezed."""


def train(
    experiment: Experiment,
    out: Path,
    *,
    resume: bool = False,
    baseline: bool = True,
    minutes: float = 0.0,
    watch: Callable[[RunFolder, ExperimentData], Progress] | None = None,
    shared: Path | None = None,
    of: RunFolder | None = None,
) -> dict[str, Any]:
    """Train and evaluate an experiment, and write its results to a folder, without figures.

    Returns and raises what `mgm.api.train_and_draw` does, which has more about the first arguments.

    Args:
        experiment: Settings of the run.
        out: The run's folder.
        resume: Continue the run in ``out``, if there is one.
        baseline: Also train the multi-task baseline; ignored for recipes that are baselines themselves.
        minutes: Approximate wall time (`mgm.runs.budget`). A resumed run keeps its number of steps.
        watch: Makes a further callback, used in the first process in addition to the progress bar.
        shared: Folder of trained stages shared by runs (`mgm.runs.stages`). By default, a run with a baseline shares stages with it
            in a temporary folder.
        of: The run whose baseline this is, if it is one.
    """
    folder = RunFolder(out)
    begun = read_json(folder.beginning, Beginning) if resume and folder.exists else None
    if begun and folder.finished:
        if rank() == 0:  # the process may have been killed before it did this
            write_history(folder)
            folder.remove_drafts()
            shutil.rmtree(folder.path / "stages", ignore_errors=True)
        return read_result(folder.result)
    check_experiment(experiment)
    if shared and of is None:
        check_stages_folder(shared)
    experiment = with_structure(with_absolute_paths(experiment))
    fabric = launch(experiment.training)
    if begun:
        begun.check(experiment, derived=True)
        experiment = folder.experiment()
        begun.check(experiment)
        open_run_data(folder).check_unchanged()
        baseline, minutes = begun.baseline, begun.minutes
    elif fabric.is_global_zero:
        folder.check_empty()
    data = load_data(experiment, fabric.device)
    if begun and data.pretraining and data.pretraining.fingerprint != RunImages.read(folder.images).pretrain:
        raise DataError(
            f"the run cannot be continued: {experiment.data.pretrain}, which it is pre-trained on, has changed since it was begun; "
            "restore it, or train a new run"
        )
    experiment = with_channels(without_scenes(experiment, data), data.info)
    # all errors in settings and data are raised up to `_make_trainer`, before anything is written
    unfitted = experiment
    if minutes and not begun:
        experiment = _fit_to_minutes(experiment, minutes, data, fabric)
    trainer = _make_trainer(experiment, folder, data, fabric, watch)
    doubt = check_unseen(experiment, data)
    if of is None and rank() == 0:
        _print_summary(experiment, data)
        if doubt:
            print(f"warning: {doubt}", file=sys.stderr)
    has_baseline = baseline and (
        len(joint_updates(experiment.method)) > 1
        or (bool(experiment.data.pretrain) and baseline_of(experiment).recipe != experiment.recipe)
    )
    place = shared or (folder.path / "stages" if has_baseline else None)
    with ExitStack() as stack:
        if fabric.is_global_zero:
            stack.push(folder.lock() if begun else _create(folder, experiment, data, has_baseline, minutes, of))
        fabric.barrier()
        reference = None
        if has_baseline:
            resumed = resume and folder.baseline.exists
            reference = train(
                folder.baseline.experiment() if resumed else baseline_of(unfitted),
                folder.baseline.path,
                resume=resumed,
                baseline=False,
                minutes=minutes,
                watch=watch,
                shared=place,
                of=folder,
            )
        with recorded(folder):
            common = SharedStages(place, experiment, data, trainer) if place else None
            if common and shared:  # no other run would start from a private folder of stages
                trainer.after_stage = common.keep
            if not trainer.restore() and common:
                common.start(trainer)
            with trainer.progress:
                trainer.run()
            result = finish(experiment, folder, data, trainer, reference)
        if place and not shared and fabric.is_global_zero:
            shutil.rmtree(place, ignore_errors=True)
        return result


def _create(
    folder: RunFolder,
    experiment: Experiment,
    data: ExperimentData,
    baseline: bool,
    minutes: float,
    of: RunFolder | None,
) -> FileLock:
    """Create the run's folder; for a baseline, record the command of the run that it belongs to. Returns the folder's lock."""
    command = read_json(of.beginning, Beginning).command if of else command_line()
    beginning = Beginning(command, baseline, minutes, world_size(), to_dict(experiment))
    images = RunImages.of(
        data.reader.store,
        data.splits,
        data.labelled,
        data.weak,
        before=seen_before(experiment, data),
        pretrain=data.pretraining.fingerprint if data.pretraining else "",
    )
    return folder.create(experiment, data.info, beginning, images)


def _print_summary(experiment: Experiment, data: ExperimentData) -> None:
    """Print which data the run uses, and warn of settings that have no effect."""
    parts, num_images = data.splits, experiment.data.num_images
    print(
        f"{len(data.labelled)} of {len(parts.train)} training images labelled, {len(data.tasks)} "
        f"task{'s' * (len(data.tasks) > 1)}, {len(parts.validation)} validation, {len(parts.test)} test "
        f"({data.info.name}: {', '.join(data.tasks)}; {experiment.data.frame.in_words}{_squeezed(experiment.data, data.shape)})",
        file=sys.stderr,
    )
    if 0 < num_images == len(parts.train) and data.info.name != "rooms":
        print(f"a part of {data.info.name} is used: --num-images {num_images} (0: all)", file=sys.stderr)
    for line in warnings_of(experiment):
        print(line, file=sys.stderr)


def _squeezed(config: DataConfig, shape: tuple[int, int] | None) -> str:
    """The original size of images that are distorted by more than a tenth; empty for others."""
    if not shape or config.aspect != "squeeze":
        return ""
    (height, width), (own_height, own_width) = config.size, shape
    distortion = abs(math.log(height * own_width / (width * own_height)))
    return f", squeezed from {own_height}x{own_width}" if distortion > DISTORTED else ""


def _fit_to_minutes(experiment: Experiment, minutes: float, data: ExperimentData, fabric: Fabric) -> Experiment:
    """The experiment with the number of steps that fit into ``minutes``, the same in all processes."""
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"minutes is {minutes}; it must be above 0")
    num_final = (1 + experiment.flip_average) * (1 + len(data.splits.test) / max(1, len(data.splits.validation)))
    with TemporaryDirectory() as scratch:
        cost = measure(_make_trainer(experiment, RunFolder(Path(scratch)), data, fabric, None), num_final)
    fitted = fit_to_minutes(experiment, minutes, fabric.broadcast(cost))
    if fabric.is_global_zero:
        per_stage = ", ".join(f"{stage.name} {stage.steps}" for stage in stages(fitted))
        print(
            f"{experiment.recipe}: {minutes:g} minutes are these steps here: {per_stage}", file=sys.stderr, flush=True
        )
    return fitted


def _make_trainer(
    experiment: Experiment,
    folder: RunFolder,
    data: ExperimentData,
    fabric: Fabric,
    watch: Callable[[RunFolder, ExperimentData], Progress] | None,
) -> Trainer:
    schedule, tasks, device = stages(experiment), data.tasks, fabric.device
    networks = start_networks(experiment, tasks, schedule, folder, device, data.num_scenes, data.constants)
    constant = evaluate(constant_predictor(data.constants), data.batches(data.splits.validation), tasks, device)

    def validate(model: nn.Module) -> tuple[Scores, Skills]:
        with fabric.autocast():
            scores = evaluate_model(model, data.batches(data.splits.validation), tasks)
        return scores, task_skills(scores, constant, tasks)

    shown: list[Progress] = [RichProgress(experiment.recipe, tasks, schedule, device)]
    if fabric.is_global_zero:
        shown += make_loggers(folder, experiment.training.log, schedule)
        shown += [watch(folder, data)] if watch else []
    loaders = make_loaders(experiment, data)
    steps = JointSteps(
        networks,
        tasks,
        experiment.method,
        loaders,
        multi_hot=data.info.multi_hot,
        annotate=make_annotator(experiment, data),
        strengthen=strengthening(experiment.data, tasks),
        label_stride=label_stride(experiment.model),
    )
    return Trainer(
        experiment.training,
        experiment.seed,
        schedule,
        networks,
        tasks,
        loaders,
        steps,
        validate,
        fabric,
        folder.checkpoints,
        MetricsLog(None if rank() else folder.metrics_log),
        Watchers(shown),
        steps.generator_snapshot,
    )
