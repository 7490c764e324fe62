"""A complete run: load the data, train, score the best model, write the result."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from filelock import FileLock
from lightning_fabric import Fabric
from torch import nn

from mgm.config import DataConfig, Experiment
from mgm.data.files import write_atomically
from mgm.errors import ConfigError, DataError
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import joint_updates, stages
from mgm.method.recipes import baseline_of
from mgm.method.training import JointSteps
from mgm.runs.annotator import make_annotator
from mgm.runs.beginning import Beginning
from mgm.runs.budget import fit_to_minutes, measure
from mgm.runs.checks import check_experiment, warnings_of
from mgm.runs.data import ExperimentData, load_data, strengthening
from mgm.runs.devices import launch
from mgm.runs.diversity import generator_diversity
from mgm.runs.folder import RunFolder, read_result, write_json
from mgm.runs.images import RunImages, open_run_data, unique_names
from mgm.runs.loaders import label_stride, make_loaders
from mgm.runs.loggers import make_loggers
from mgm.runs.metrics_table import recorded, write_history
from mgm.runs.pretraining import pretraining
from mgm.runs.progress import RichProgress
from mgm.runs.provenance import command_line, made_with
from mgm.runs.scenes import without_scenes
from mgm.runs.settings import to_dict, with_absolute_paths
from mgm.runs.stages import SharedStages, check_stages_folder
from mgm.runs.starting_weights import check_unseen, seen_before, start_networks, with_channels, with_structure
from mgm.training.callbacks import Watchers
from mgm.training.checkpoint import SavedModel, load_checkpoint
from mgm.training.evaluate import (
    ImageSums,
    Scores,
    classes_of,
    confusions_of,
    constant_predictor,
    evaluate,
    evaluate_model,
    image_scores,
    mean_gain,
    measure_model,
    scores_of,
    task_gain,
    worst_images,
)
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
    begun = Beginning.read(folder.beginning) if resume and folder.exists else None
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
    lock = None
    if fabric.is_global_zero:
        lock = folder.lock() if begun else _create(folder, experiment, data, has_baseline, minutes, of)
    fabric.barrier()
    place = shared or (folder.path / "stages" if has_baseline else None)
    try:
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
            result = _finish(experiment, folder, data, trainer, reference)
        if place and not shared and fabric.is_global_zero:
            shutil.rmtree(place, ignore_errors=True)
        return result
    finally:
        if lock:
            lock.release()


def _create(
    folder: RunFolder,
    experiment: Experiment,
    data: ExperimentData,
    baseline: bool,
    minutes: float,
    of: RunFolder | None,
) -> FileLock:
    """Create the run's folder; for a baseline, record the command of the run that it belongs to. Returns the folder's lock."""
    command = Beginning.read(of.beginning).command if of else command_line()
    beginning = Beginning(command, baseline, minutes, world_size(), to_dict(experiment))
    images = replace(
        RunImages.of(data.reader.store, data.splits, data.labelled, data.weak),
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
        cost = measure(_make_trainer(experiment, RunFolder(Path(scratch)), data, fabric, None, silent=True), num_final)
    fitted = fabric.broadcast(fit_to_minutes(experiment, minutes, cost))
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
    *,
    silent: bool = False,
) -> Trainer:
    schedule, batch_size = stages(experiment), experiment.training.batch_size
    constants = data.constants(batch_size)
    networks = start_networks(experiment, data.tasks, schedule, folder, fabric.device, data.num_scenes, constants)
    reference = evaluate(
        constant_predictor(constants), data.batches(data.splits.validation, batch_size), data.tasks, fabric.device
    )

    def validate(model: nn.Module) -> tuple[Scores, Skills]:
        with fabric.autocast():
            scores = evaluate_model(model, data.batches(data.splits.validation, batch_size), data.tasks)
        return scores, task_skills(scores, reference, data.tasks)

    shown: list[Progress] = [] if silent else [RichProgress(experiment.recipe, data.tasks, schedule, fabric.device)]
    if fabric.is_global_zero and not silent:
        shown += make_loggers(folder, experiment.training.log, schedule)
        shown += [watch(folder, data)] if watch else []
    loaders = make_loaders(experiment, data, fabric.device)
    steps = JointSteps(
        networks,
        data.tasks,
        experiment.method,
        loaders,
        multi_hot=data.info.multi_hot,
        annotate=make_annotator(experiment, data, fabric.device),
        strengthen=strengthening(experiment.data, data.tasks),
        label_stride=label_stride(experiment.model),
    )
    return Trainer(
        experiment.training,
        experiment.seed,
        schedule,
        networks,
        data.tasks,
        loaders,
        steps,
        validate,
        fabric,
        folder.checkpoints,
        MetricsLog(None if silent or rank() else folder.metrics_log),
        Watchers(shown),
        steps.generator_snapshot,
    )


def _finish(
    experiment: Experiment, folder: RunFolder, data: ExperimentData, trainer: Trainer, baseline: dict[str, Any] | None
) -> dict[str, Any]:
    """Score the best model on validation and test set, and write the result; the test set is used here only."""
    model = trainer.evaluated_model
    model.load_state_dict(folder.best_weights(trainer.fabric.device))
    position, batch_size = trainer.position, experiment.training.batch_size
    flip_average = experiment.flip_average
    steps = {part: step for part, (_, step) in position.best.items()}
    with trainer.fabric.autocast():
        validation = evaluate_model(
            model, data.batches(data.splits.validation, batch_size), data.tasks, flip_average=flip_average
        )
        images = ImageSums(data.tasks, len(data.splits.test))
        meters = measure_model(
            model, data.batches(data.splits.test, batch_size), data.tasks, images, flip_average=flip_average
        )
    test, sums, confusions = scores_of(meters), images.arrays(trainer.fabric.device), confusions_of(meters)
    worst = data.splits.test[worst_images(image_scores(sums, data.tasks), data.tasks)]
    names = unique_names(data.reader.store)
    constant = evaluate(
        constant_predictor(data.constants(batch_size)),
        data.batches(data.splits.test, batch_size),
        data.tasks,
        trainer.fabric.device,
    )
    result: dict[str, Any] = {
        "recipe": experiment.recipe,
        "data": data.info.name,
        "fraction": experiment.data.fraction,
        "seed": experiment.seed,
        "image_size": experiment.data.image_size,
        "aspect": experiment.data.aspect,
        "num_labelled": len(data.labelled),
        "steps": experiment.training.steps,
        "best_step": max(steps.values(), default=None),
        "best_steps": steps,
        "best_stage": trainer.stages[-1].name,
        "stopped": {
            stage.name: {"step": position.stopped[stage.name], "of": stage.steps}
            for stage in trainer.stages
            if stage.name in position.stopped
        },
        **made_with(folder, trainer),
        "validation": validation,
        "test": test,
        "classes": classes_of(meters),
        "worst": [names[index] for index in worst],
        "constant": constant,
        "flip_average": flip_average,
        "pretrained": pretraining(experiment.model),
    }
    if position.earlier and _mean_score(position.earlier) > _mean_score(position.best):
        result["earlier"] = _earlier(experiment, data, trainer, model)
    if baseline:
        kept = (
            "recipe",
            "steps",
            "stopped",
            "seconds",
            "shared_seconds",
            "validation",
            "test",
            "classes",
            "pretrained",
        )
        result["baseline"] = {key: baseline[key] for key in kept}
        gains = {name: task_gain(test[name], baseline["test"][name], task) for name, task in data.tasks.items()}
        result["gain"] = gains | {"mean": mean_gain(test, baseline["test"], data.tasks)}
    if trainer.fabric.is_global_zero:
        if found := generator_diversity(folder, data, experiment.seed):
            result["diversity"] = found
        arrays: dict[str, Any] = {"images": data.splits.test, **sums}
        write_atomically(folder.test_images, lambda file: np.savez_compressed(file, **arrays))
        write_json(folder.confusion, {name: asdict(confusion) for name, confusion in confusions.items()})
        write_json(folder.result, result)
    trainer.fabric.barrier()
    return result


def _earlier(experiment: Experiment, data: ExperimentData, trainer: Trainer, model: nn.Module) -> dict[str, Any]:
    """Step and scores of the best model of the earlier stages, for runs in which the last stage was not better."""
    saved, best = trainer.folder / "best_earlier.pt", trainer.position.earlier
    model.load_state_dict(load_checkpoint(saved, SavedModel, trainer.fabric.device)["model"])
    found: dict[str, Any] = {"step": max(step for _, step in best.values()), "score": _mean_score(best)}
    for part in ("validation", "test"):
        batches = data.batches(getattr(data.splits, part), experiment.training.batch_size)
        with trainer.fabric.autocast():
            found[part] = evaluate_model(model, batches, data.tasks, flip_average=experiment.flip_average)
    return found


def _mean_score(best: Mapping[str, tuple[float, int]]) -> float:
    return fmean(score for score, _ in best.values()) if best else -math.inf
