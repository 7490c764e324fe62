"""The result of a run: the scores of its best model, written to ``result.json`` and the files beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from statistics import fmean
from typing import Any

import numpy as np

from mgm.config import Experiment
from mgm.data.files import write_atomically
from mgm.runs.data import ExperimentData
from mgm.runs.diversity import generator_diversity
from mgm.runs.folder import Baseline, RunFolder, write_json
from mgm.runs.images import unique_names
from mgm.runs.pretraining import pretraining
from mgm.runs.provenance import made_with
from mgm.tasks.base import TaskMetrics
from mgm.training.checkpoint import SavedModel, load_checkpoint
from mgm.training.evaluate import (
    ImageSums,
    classes_of,
    confusions_of,
    constant_predictor,
    evaluate,
    image_scores,
    mean_gain,
    measure_model,
    scores_of,
    task_gain,
    worst_images,
)
from mgm.training.trainer import Trainer


def finish(
    experiment: Experiment, folder: RunFolder, data: ExperimentData, trainer: Trainer, baseline: dict[str, Any] | None
) -> dict[str, Any]:
    """Score the best model on validation and test set, and write the result; the test set is used here only."""
    model, position, device = trainer.evaluated_model, trainer.position, trainer.fabric.device
    model.load_state_dict(folder.best_weights(device))

    def measured(part: np.ndarray, images: ImageSums | None = None) -> dict[str, TaskMetrics]:
        with trainer.fabric.autocast():
            return measure_model(model, data.batches(part), data.tasks, images, flip_average=experiment.flip_average)

    validation = scores_of(measured(data.splits.validation))
    images = ImageSums(data.tasks, len(data.splits.test))
    meters = measured(data.splits.test, images)
    test, sums, confusions = scores_of(meters), images.arrays(device), confusions_of(meters)
    worst = data.splits.test[worst_images(image_scores(sums, data.tasks), data.tasks)]
    names = unique_names(data.reader.store)
    steps = {part: step for part, (_, step) in position.best.items()}
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
        "constant": evaluate(constant_predictor(data.constants), data.batches(data.splits.test), data.tasks, device),
        "flip_average": experiment.flip_average,
        "pretrained": pretraining(experiment.model),
    }
    if position.earlier and _mean_score(position.earlier) > _mean_score(position.best):
        saved = load_checkpoint(trainer.folder / "best_earlier.pt", SavedModel, device)
        model.load_state_dict(saved["model"])
        result["earlier"] = {
            "step": max(step for _, step in position.earlier.values()),
            "score": _mean_score(position.earlier),
            "validation": scores_of(measured(data.splits.validation)),
            "test": scores_of(measured(data.splits.test)),
        }
    if baseline:
        result["baseline"] = {key: baseline[key] for key in Baseline.__annotations__ if key in baseline}
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


def _mean_score(best: Mapping[str, tuple[float, int]]) -> float:
    return fmean(score for score, _ in best.values()) if best else -math.inf
