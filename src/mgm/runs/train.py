"""A run from its settings to its result: data, training, the best model's scores, pictures."""

from __future__ import annotations

import math
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy
import torch
from lightning.fabric import Fabric
from torch import nn

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.inference.annotator import make_annotator
from mgm.runs.budget import fit_to_minutes, measure
from mgm.runs.checks import check_experiment
from mgm.runs.cost import encoder_updates, parameter_counts, peak_memory_mb
from mgm.runs.data import ExperimentData, load_data, make_feeds
from mgm.runs.devices import launch
from mgm.runs.starting_weights import start_encoder
from mgm.runs.starting_weights import load_pretrained, with_structure
from mgm.runs.folder import RunFolder, read_result, write_json
from mgm.runs.metrics_table import recorded
from mgm.runs.pretraining import pretraining
from mgm.runs.progress import RichProgress
from mgm.method.recipes import baseline_of
from mgm.runs.scenes import without_scenes
from mgm.training.callbacks import TensorBoard, Watchers
from mgm.functional.distributed import rank, world_size
from mgm.method.algorithm import joint_updates, stages
from mgm.method.networks import build_networks
from mgm.training.checkpoint import load_checkpoint
from mgm.training.evaluate import (
    Scores,
    classes_of,
    constant_predictor,
    evaluate,
    evaluate_model,
    mean_gain,
    mean_skill,
    measure_model,
    scores_of,
    task_gain,
)
from mgm.training.metrics_log import Journal
from mgm.training.trainer import Progress, Trainer
from mgm.training.updates import Stage, trained_networks
from mgm.version import __version__


def train(
    experiment: Experiment,
    out: Path,
    *,
    resume: bool = False,
    baseline: bool = True,
    minutes: float = 0.0,
    watch: Callable[[RunFolder, ExperimentData], Progress] | None = None,
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
        watch: Makes something else that looks on in the first process, beside the progress bar.

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
    if fabric.is_global_zero and not (resume and folder.exists):
        folder.create(experiment, data.info)
    fabric.barrier()
    lock = folder.lock() if fabric.is_global_zero else None
    try:
        reference = None
        if baseline and len(joint_updates(experiment.method)) > 1:
            reference = _train_baseline(unfitted, folder, resume, minutes, watch)
        with recorded(folder):
            trainer.restore()
            with trainer.progress:
                trainer.run()
            return _finish(experiment, folder, data, trainer, reference)
    finally:
        if lock:
            lock.release()


def _train_baseline(
    experiment: Experiment,
    folder: RunFolder,
    resume: bool,
    minutes: float,
    watch: Callable[[RunFolder, ExperimentData], Progress] | None,
) -> dict[str, Any]:
    begun = folder.baseline.exists
    return train(
        baseline_of(experiment),
        folder.baseline.path,
        resume=resume and begun,
        baseline=False,
        minutes=minutes,
        watch=watch,
    )


def _schedule(experiment: Experiment) -> tuple[Stage, ...]:
    return stages(
        experiment.method,
        experiment.training,
        architecture=experiment.model.architecture,
        pretrain=bool(experiment.data.pretrain),
        freeze_encoder=experiment.model.freeze_encoder,
    )


def _fit_to_minutes(experiment: Experiment, minutes: float, data: ExperimentData, fabric: Fabric) -> Experiment:
    """The experiment with the steps that fit into the time, the same in all processes."""
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"minutes is {minutes}; it must be above 0")
    num_final = 1 + len(data.splits.test) / len(data.splits.validation)
    with TemporaryDirectory() as scratch:
        cost = measure(_make_trainer(experiment, RunFolder(Path(scratch)), data, fabric, None, silent=True), num_final)
    fitted = fabric.broadcast(fit_to_minutes(experiment, minutes, cost, _schedule))
    if fabric.is_global_zero:
        per_stage = ", ".join(f"{stage.name} {stage.steps}" for stage in _schedule(fitted))
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
    schedule = _schedule(experiment)
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

    def validate(model: nn.Module) -> tuple[Scores, float]:
        with fabric.autocast():
            scores = evaluate_model(model, data.batches(data.splits.validation, batch_size), data.tasks)
        return scores, mean_skill(scores, reference, data.tasks)

    return Trainer(
        experiment,
        schedule,
        networks,
        data.tasks,
        make_feeds(experiment, data, fabric.device),
        validate,
        fabric,
        folder.checkpoints,
        Journal(None if silent or rank() else folder.journal),
        Progress() if silent else _watchers(experiment, folder, data, schedule, fabric, watch),
        multi_hot=data.info.multi_hot,
        annotate=make_annotator(experiment, data, fabric.device),
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
    best = load_checkpoint(folder.checkpoints / "best.pt", trainer.fabric.device)
    model = trainer.evaluated_model
    model.load_state_dict(best["model"])
    batch_size = experiment.training.batch_size
    with trainer.fabric.autocast():
        validation = evaluate_model(model, data.batches(data.splits.validation, batch_size), data.tasks)
        meters = measure_model(model, data.batches(data.splits.test, batch_size), data.tasks)
    test = scores_of(meters)
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
        "best_step": best["step"],
        "seconds": round(trainer.position.seconds, 1),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
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
    if baseline:
        kept = ("recipe", "steps", "validation", "test", "classes", "pretrained")
        result["baseline"] = {key: baseline[key] for key in kept if key in baseline}  # earlier versions wrote fewer
        result["gain"] = {
            name: task_gain(test[name], baseline["test"][name], task) for name, task in data.tasks.items()
        } | {"mean": mean_gain(test, baseline["test"], data.tasks)}
    if trainer.fabric.is_global_zero:
        write_json(folder.result, result)
    trainer.fabric.barrier()
    return result


def current_commit() -> str | None:
    """The commit of the source code that runs, with ``+changes`` when it was edited; None outside a checkout."""
    place = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(place), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+changes" if git("status", "--porcelain", "--", str(place)) else ""
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    return {
        "mgm": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }
