"""A run from its settings to its result: data, training, the best model's scores, pictures."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from lightning_fabric import Fabric
from torch import nn

from mgm.config import Experiment
from mgm.data.files import write_atomically
from mgm.errors import ConfigError
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import joint_updates, stages
from mgm.method.networks import build_networks
from mgm.method.recipes import baseline_of
from mgm.method.training import JointSteps
from mgm.runs.annotator import make_annotator
from mgm.runs.budget import fit_to_minutes, measure
from mgm.runs.checks import check_experiment
from mgm.runs.cost import encoder_updates, parameter_counts, peak_memory_mb
from mgm.runs.data import ExperimentData, label_stride, load_data, make_loaders
from mgm.runs.devices import launch
from mgm.runs.folder import RunFolder, read_result, write_json
from mgm.runs.metrics_table import recorded, write_history
from mgm.runs.pretraining import pretraining
from mgm.runs.progress import RichProgress
from mgm.runs.provenance import command_line, current_commit, versions
from mgm.runs.scenes import without_scenes
from mgm.runs.stages import SharedStages
from mgm.runs.starting_weights import load_pretrained, start_encoder, with_structure
from mgm.training.callbacks import TensorBoard, Watchers
from mgm.training.checkpoint import SavedModel, load_checkpoint
from mgm.training.evaluate import (
    ImageSums,
    Scores,
    classes_of,
    constant_predictor,
    evaluate,
    evaluate_model,
    mean_gain,
    measure_model,
    scores_of,
    task_gain,
)
from mgm.training.metrics_log import MetricsLog
from mgm.training.selection import Skills, task_skills
from mgm.training.trainer import Progress, Trainer
from mgm.training.updates import Stage, trained_networks


def train(
    experiment: Experiment,
    out: Path,
    *,
    resume: bool = False,
    baseline: bool = True,
    minutes: float = 0.0,
    watch: Callable[[RunFolder, ExperimentData], Progress] | None = None,
    shared: Path | None = None,
) -> dict[str, Any]:
    """Train, evaluate, and write everything to a folder.

    Args:
        experiment: Settings.
        out: The run's folder; must be new or empty unless ``resume``.
        resume: Continue the run in ``out`` from its last checkpoint; a finished run returns its result at once.
        baseline: Also train the multi-task baseline with the same budget (for recipes that are more than it), into
            ``out/baseline``, and report the gain over it.
        minutes: Wall time to fit the steps to (`mgm.runs.budget`), for the run and for its baseline each; 0: take the
            steps of the settings. A resumed run keeps the steps that it was begun with.
        watch: Makes another callback in the first process, beside the progress bar.
        shared: Folder of stages that runs have in common (`mgm.runs.stages`); a run with a baseline has one of its own, which is
            removed at the end.

    Returns:
        What `result.json` holds.

    Raises:
        ConfigError: If settings contradict each other or the data.
        DataError: If the data are missing or damaged.
        RunError: If the folder is in use or holds something else.
        TrainingDivergedError: If a loss is NaN or explodes.
    """
    folder = RunFolder(out)
    if resume and folder.finished:
        if not rank():  # it may have been killed just before this
            write_history(folder)
            folder.remove_drafts()
            shutil.rmtree(folder.path / "stages", ignore_errors=True)
        return read_result(folder.result)
    check_experiment(experiment)
    experiment = with_structure(experiment)
    fabric = launch(experiment.training)
    data = load_data(experiment, fabric.device)
    experiment = without_scenes(experiment, data)
    # everything that can be wrong with settings or data shows here, before anything is written
    unfitted = experiment
    if minutes and not (resume and folder.exists):
        experiment = _fit_to_minutes(experiment, minutes, data, fabric)
    trainer = _make_trainer(experiment, folder, data, fabric, watch)
    has_baseline = baseline and len(joint_updates(experiment.method)) > 1
    if fabric.is_global_zero and not (resume and folder.exists):
        folder.create(experiment, data.info, baseline=has_baseline)
    fabric.barrier()
    lock = folder.lock() if fabric.is_global_zero else None
    place = shared or (folder.path / "stages" if has_baseline else None)
    try:
        reference = None
        if has_baseline:
            reference = train(
                baseline_of(unfitted),
                folder.baseline.path,
                resume=resume and folder.baseline.exists,
                baseline=False,
                minutes=minutes,
                watch=watch,
                shared=place,
            )
        with recorded(folder):
            if place:
                stages_of_all = SharedStages(place, experiment, data, trainer)
                if shared:  # of a baseline's own, nobody else will start from
                    trainer.after_stage = stages_of_all.keep
                if not trainer.restore():
                    stages_of_all.start(trainer)
            else:
                trainer.restore()
            with trainer.progress:
                trainer.run()
            result = _finish(experiment, folder, data, trainer, reference)
        if place and not shared and fabric.is_global_zero:
            shutil.rmtree(place, ignore_errors=True)
        return result
    finally:
        if lock:
            lock.release()


def _fit_to_minutes(experiment: Experiment, minutes: float, data: ExperimentData, fabric: Fabric) -> Experiment:
    """The experiment with the steps that fit into the time, the same in all processes."""
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"minutes is {minutes}; it must be above 0")
    num_final = 1 + len(data.splits.test) / len(data.splits.validation)
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
    schedule = stages(experiment)
    networks = build_networks(
        trained_networks(schedule),
        data.tasks,
        experiment.model,
        image_size=experiment.data.image_size,
        num_scenes=data.num_scenes,
        seed=experiment.seed,
    )
    if not (folder.checkpoints / "last.pt").exists():  # which has all weights
        load_pretrained(networks.model, experiment.model)
    batch_size = experiment.training.batch_size
    constants = data.constants(batch_size)
    networks.model.start_at(constants)
    networks = networks.to(fabric.device)
    start_encoder(networks.model, experiment.model)
    reference = evaluate(
        constant_predictor(constants), data.batches(data.splits.validation, batch_size), data.tasks, fabric.device
    )

    def validate(model: nn.Module) -> tuple[Scores, Skills]:
        with fabric.autocast():
            scores = evaluate_model(model, data.batches(data.splits.validation, batch_size), data.tasks)
        return scores, task_skills(scores, reference, data.tasks)

    loaders = make_loaders(experiment, data, fabric.device)
    steps = JointSteps(
        networks,
        data.tasks,
        experiment.method,
        loaders,
        multi_hot=data.info.multi_hot,
        annotate=make_annotator(experiment, data, fabric.device),
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
        Progress() if silent else _watchers(experiment, folder, data, schedule, fabric, watch),
        steps.generator_snapshot,
    )


def _watchers(
    experiment: Experiment,
    folder: RunFolder,
    data: ExperimentData,
    schedule: tuple[Stage, ...],
    fabric: Fabric,
    watch: Callable[[RunFolder, ExperimentData], Progress] | None,
) -> Progress:
    """Everything that shows how the training goes."""
    shown: list[Progress] = [RichProgress(experiment.recipe, data.tasks, schedule, fabric.device)]
    if fabric.is_global_zero and experiment.training.tensorboard:
        shown.append(TensorBoard(folder.path / "tensorboard", schedule))
    if fabric.is_global_zero and watch:
        shown.append(watch(folder, data))
    return Watchers(shown)


def _finish(
    experiment: Experiment,
    folder: RunFolder,
    data: ExperimentData,
    trainer: Trainer,
    baseline: dict[str, Any] | None,
) -> dict[str, Any]:
    """Score the best model, on the test set for the first and only time, and write result and pictures."""
    model = trainer.evaluated_model
    model.load_state_dict(load_checkpoint(folder.checkpoints / "best.pt", SavedModel, trainer.fabric.device)["model"])
    position, batch_size = trainer.position, experiment.training.batch_size
    steps = {part: step for part, (_, step) in position.best.items()}
    with trainer.fabric.autocast():
        validation = evaluate_model(model, data.batches(data.splits.validation, batch_size), data.tasks)
        images = ImageSums(data.tasks, len(data.splits.test))
        meters = measure_model(model, data.batches(data.splits.test, batch_size), data.tasks, images)
    test, sums = scores_of(meters), images.arrays(trainer.fabric.device)
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
        "num_labelled": len(data.labelled),
        "steps": experiment.training.steps,
        "best_step": max(steps.values(), default=None),
        "best_steps": steps,
        "best_stage": trainer.stages[-1].name,
        "seconds": round(trainer.position.seconds, 1),
        "command": command_line(),
        "commit": current_commit(),
        "versions": versions(),
        "device": str(trainer.fabric.device),
        "world_size": world_size(),
        "parameters": parameter_counts(trainer.networks),
        "updates": encoder_updates(trainer.stages),
        "peak_memory_mb": peak_memory_mb(trainer.fabric.device),
        "validation": validation,
        "test": test,
        "classes": classes_of(meters),
        "constant": constant,
        "pretrained": pretraining(experiment.model),
    }
    if position.earlier and _mean_score(position.earlier) > _mean_score(position.best):
        result["earlier"] = _earlier(data, trainer, model, batch_size)
    if baseline:
        kept = ("recipe", "steps", "validation", "test", "classes", "pretrained")
        result["baseline"] = {key: baseline[key] for key in kept if key in baseline}  # earlier versions wrote fewer
        result["gain"] = {
            name: task_gain(test[name], baseline["test"][name], task) for name, task in data.tasks.items()
        } | {"mean": mean_gain(test, baseline["test"], data.tasks)}
    if trainer.fabric.is_global_zero:
        write_atomically(folder.test_images, lambda file: np.savez_compressed(file, images=data.splits.test, **sums))
        write_json(folder.result, result)
    trainer.fabric.barrier()
    return result


def _earlier(data: ExperimentData, trainer: Trainer, model: nn.Module, batch_size: int) -> dict[str, Any]:
    """The best model from before the last stage, where it was better on the validation set than any of the last."""
    model.load_state_dict(
        load_checkpoint(trainer.folder / "best_earlier.pt", SavedModel, trainer.fabric.device)["model"]
    )
    with trainer.fabric.autocast():
        validation = evaluate_model(model, data.batches(data.splits.validation, batch_size), data.tasks)
        test = evaluate_model(model, data.batches(data.splits.test, batch_size), data.tasks)
    best = trainer.position.earlier
    return {
        "step": max(step for _, step in best.values()), "score": _mean_score(best), "validation": validation, "test": test
    }  # fmt: skip


def _mean_score(best: Mapping[str, tuple[float, int]]) -> float:
    return fmean(score for score, _ in best.values()) if best else -math.inf
