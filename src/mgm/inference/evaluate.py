"""Evaluation of a trained model on any data set, optionally with scale and shift fitted on images that are not scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgm.data import open_source
from mgm.data.base import Splits
from mgm.data.loading import StoreReader
from mgm.data.store import Store, cached_store
from mgm.errors import ConfigError, DataError, unknown
from mgm.functional.precision import widest_float
from mgm.inference.model import TrainedModel
from mgm.runs.folder import RunFolder
from mgm.runs.images import RunImages, open_run_data, unique_names, with_classes_of
from mgm.runs.listing import unfinished
from mgm.runs.pretraining import pretraining
from mgm.runs.splits import EVERYTHING, make_splits
from mgm.tasks import tasks_for
from mgm.tasks.base import Confusion, Task
from mgm.tasks.own import OwnTask
from mgm.tasks.regression import RegressionTask
from mgm.training import evaluate as scoring
from mgm.training.evaluate import Classes, Scores
from mgm.types import Batch, DatasetInfo, Predictions

SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Line:
    """Affine correction ``scale * prediction + shift``."""

    scale: float
    shift: float
    """In the task's unit."""


@dataclass(frozen=True)
class Calibration:
    """Scale and shift fitted on the validation set, and the scores of the corrected predictions."""

    lines: dict[str, Line]
    """Task -> correction, for the tasks with a scale."""
    num_images: int
    """Number of images used for the fit."""
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run and a description of the images they were measured on."""

    recipe: str
    info: DatasetInfo
    split: str
    num_images: int
    tasks: dict[str, Task]
    """Tasks that the run predicts and the data set has labels for."""
    scores: Scores
    classes: Classes
    confusions: dict[str, Confusion]
    """Confusion matrices of the tasks with classes."""
    worst: dict[str, dict[str, float]]
    """The images with the largest errors, worst first: name -> task -> primary metric (NaN without a label)."""
    by_image: dict[str, dict[str, float]]
    """Likewise for all images, in the order of the data."""
    flip_average: bool = False
    calibration: Calibration | None = None
    pretrained: str = ""
    """Data that the encoder was pre-trained on, see `mgm.runs.pretraining`."""
    remarks: tuple[str, ...] = ()
    """Remarks on the scores: the run is not finished, the data have changed since training, images are left out."""

    @property
    def title(self) -> str:
        """Heading of the scores in a table."""
        return f"{self.recipe}, flip average" if self.flip_average else self.recipe

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for a JSON file."""
        values: dict[str, Any] = {
            "recipe": self.recipe,
            "data": self.info.name,
            "split": self.split,
            "num_images": self.num_images,
            "flip_average": self.flip_average,
            "pretrained": self.pretrained,
            "remarks": list(self.remarks),
            "scores": self.scores,
            "classes": self.classes,
            "confusion": {name: asdict(confusion) for name, confusion in self.confusions.items()},
            "worst": self.worst,
        }
        if self.calibration:
            lines = {name: asdict(line) for name, line in self.calibration.lines.items()}
            fitted = {"fitted_on": "validation", "num_images": self.calibration.num_images, "lines": lines}
            values["calibrated"] = {**fitted, "scores": self.calibration.scores}
        return values


def evaluate(
    run: str | Path,
    *,
    data: str = "",
    split: str = "",
    flip_average: bool | None = None,
    calibrate: bool = False,
    device: str = "auto",
) -> Evaluation:
    """Score the best model of a run on its own data set or on another one.

    Args:
        run: The run's folder.
        data: Name or path of another data set with the same classes; empty: the run's own.
        split: train, validation, test or all. Empty: on the run's own data the test set as it was at training time, whatever
            has been added since; on another data set all images that the run was neither trained nor selected on. An exported
            model does not know these, so all images are scored, with a remark.
        flip_average: Average with the predictions for the mirrored images; None: the setting of the run.
        calibrate: Also score depth after fitting scale and shift on the validation set of the same data. The scale of a scene
            is ambiguous in a single image, and depth for another camera is often off by a factor; the calibrated scores
            show the error without it (compare the scale-invariant error of Eigen et al., 2014).
        device: Device to compute on.

    Returns:
        ``.scores``: task -> metric -> value; ``.classes``: task -> class -> IoU, precision, recall and share of the pixels.

    Raises:
        ConfigError: If an exported model is scored without ``data``, the split does not exist, the data sets have no task in
            common, define one differently or have different classes, there is nothing to calibrate, or every image that could be
            used for calibration is scored.
        DataError: If no image is left to score, or the validation set has no labels for the calibration.
    """
    asked, split = split, split or ("all" if data else "test")
    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    if calibrate and split in ("validation", "all"):
        scored = "all images are" if split == "all" else "the validation set itself is"
        raise ConfigError(
            f"cannot calibrate where {scored} scored: scale and shift are fitted on the validation set, which must not be "
            "scored; use --split test"
        )
    trained = TrainedModel.load(run, device)
    chosen = _choose(trained, Path(run), data, split, usual=asked in ("", "test"), calibrate=calibrate)
    info, store, splits, indices = chosen.info, chosen.store, chosen.splits, chosen.indices
    tasks, scaled = chosen.tasks, chosen.scaled
    reader = StoreReader(store, tuple(tasks), trained.device)
    size = trained.experiment.training.batch_size
    flip_average = trained.experiment.flip_average if flip_average is None else flip_average
    predict = partial(trained.predict_batch, flip_average=flip_average)
    images = scoring.ImageSums(tasks, len(indices))
    meters = scoring.measure(predict, _batches(reader, indices, size), tasks, trained.device, images)
    by_image = scoring.image_scores(images.arrays(trained.device), tasks)
    names = unique_names(store)
    scored = {
        names[index]: {name: float(values[place]) for name, values in by_image.items()}
        for place, index in enumerate(map(int, indices))
    }
    ranked = [names[indices[place]] for place in scoring.worst_images(by_image, tasks)]
    calibration = None
    if splits is not None and scaled:
        fitted_on = np.setdiff1d(splits.validation, indices)
        lines = fit_lines(predict, _batches(reader, fitted_on, size), scaled)
        scores = scoring.evaluate(
            _calibrated(predict, lines, scaled), _batches(reader, indices, size), scaled, trained.device
        )
        calibration = Calibration(lines, len(fitted_on), scores)
    return Evaluation(
        trained.experiment.recipe,
        info,
        split,
        len(indices),
        tasks,
        scoring.scores_of(meters),
        scoring.classes_of(meters),
        scoring.confusions_of(meters),
        {name: scored[name] for name in ranked},
        scored,
        flip_average,
        calibration,
        pretraining(trained.experiment.model),
        tuple(filter(None, (unfinished(Path(run)), *chosen.remarks))),
    )


@dataclass(frozen=True)
class _Chosen:
    """The images and tasks to score."""

    info: DatasetInfo
    tasks: dict[str, Task]
    scaled: dict[str, RegressionTask]
    """Tasks to calibrate."""
    store: Store
    splits: Splits | None
    """None if all images are scored."""
    indices: np.ndarray
    remarks: list[str]


def _choose(trained: TrainedModel, run: Path, data: str, split: str, *, usual: bool, calibrate: bool) -> _Chosen:
    """Open the data and choose the images to score; arguments and errors are those of `evaluate`.

    With ``usual``, images that the run has seen are left out of other data; otherwise, if all images are scored, a remark counts
    them.
    """
    config, folder = trained.experiment.data, RunFolder(run)
    known = RunImages.read(folder.images) if folder.exists else None
    remarks: list[str] = []
    if not known:
        if not data:
            raise ConfigError(
                f"{run}: an exported model carries no data (it learned from {config.data}); give them with --data"
            )
        remarks.append(
            "an exported model does not record the images that it learned from; if some are among these, the scores are optimistic"
        )
    if data:
        source = open_source(data, config.num_images)
        info = with_classes_of(source.info, trained.info)
        tasks, scaled = _tasks(trained, info, calibrate)
        store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
        splits = None if split == "all" else make_splits(store, source, config, store.labelled(tasks))
    else:
        own = open_run_data(folder)
        info, store, splits = own.info, own.store, None if split == "all" else own.splits
        tasks, scaled = _tasks(trained, info, calibrate)
        copies = own.images.known & set(own.images.unused.values())
        if copies and split == "test":
            remarks.append(f"{len(copies)} copies of images seen in training are not scored")
        if own.changes:
            kept = "" if split == "all" else "; the images that were in this split then are scored"
            remarks.append(f"{info.name} has changed since the run was started ({own.changes}){kept}")
    indices = np.arange(len(store)) if splits is None else getattr(splits, split)
    if known and (data or split == "all"):
        unseen = np.intersect1d(indices, known.unseen(store))
        if (num_seen := len(indices) - len(unseen)) and usual:
            indices = unseen
            remarks.append(f"{num_seen} images of {info.name} are left out: the run was trained or selected on them")
        elif num_seen and split == "all":
            remarks.append(
                f"the run was trained or selected on {num_seen} of these images, so the scores are optimistic"
            )
    if not len(indices):
        if config.split == EVERYTHING and not (data or remarks):
            remarks = ["the run was trained on all of them; give other images with --data"]
        raise DataError(f"{info.name}: no images to score; {'; '.join(remarks) or 'the split is empty'}")
    return _Chosen(info, tasks, scaled, store, splits, indices, remarks)


def _batches(reader: StoreReader, indices: np.ndarray, size: int) -> Iterator[Batch]:
    return (reader.batch(indices[start : start + size]) for start in range(0, len(indices), size))


def _tasks(
    trained: TrainedModel, info: DatasetInfo, calibrate: bool
) -> tuple[dict[str, Task], dict[str, RegressionTask]]:
    """Tasks of the run that the data set has labels for, and those of them to calibrate.

    Raises:
        ConfigError: If there is none, or the data set defines one of them differently.
    """
    tasks = {name: task for name, task in trained.tasks.items() if name in info.tasks}
    if not tasks:
        raise ConfigError(
            f"{info.name} has no labels for the tasks of the run ({', '.join(trained.tasks)}); it offers {', '.join(info.tasks)}"
        )
    theirs = tasks_for(info, tuple(tasks))
    if other := [name for name, task in tasks.items() if not task.comparable(theirs[name])]:
        meanings = (
            f"{name} is {_meaning(theirs[name])} there, but {_meaning(tasks[name])} in the data that the model learned from"
            for name in other
        )
        raise ConfigError(
            f"{info.name} defines {', '.join(other)} differently: {'; '.join(meanings)}; give these data the definition of "
            "the model in their dataset.yaml (with scale and offset, if numbers are in another unit)"
        )
    return tasks, _calibratable(tasks) if calibrate else {}


def _meaning(task: Task) -> str:
    """What the values of a task mean, in words: range and unit, or classes."""
    definition = task.definition if isinstance(task, OwnTask) else {}
    form = f" (channels: {task.channels}, flips: {definition['flips']})" if "flips" in definition else ""
    return f"{task.values}{form}"


def _calibratable(tasks: Mapping[str, Task]) -> dict[str, RegressionTask]:
    able = {name: task for name, task in tasks.items() if isinstance(task, RegressionTask) and task.calibratable}
    if not able:
        raise ConfigError(
            f"nothing to calibrate: none of the predicted tasks ({', '.join(tasks)}) is depth or declared with 'zoom: divide' "
            "in dataset.yaml; omit --calibrate"
        )
    return able


@torch.no_grad()
def fit_lines(
    predict: Callable[[Tensor], Predictions], batches: Iterable[Batch], tasks: Mapping[str, RegressionTask]
) -> dict[str, Line]:
    """Fit ``target = scale * prediction + shift`` by least squares over all valid pixels.

    Args:
        predict: Maps images ``[B, C, H, W]`` to predictions.
        batches: Images with targets; none of them may be scored with the result.
        tasks: Single-channel tasks with a scale (`Task.calibratable`).

    Raises:
        DataError: If a task has no valid pixel in all batches.
    """
    sums: dict[str, list[float]] = {name: [0.0] * 5 for name in tasks}
    for batch in batches:
        predictions = predict(batch.images)
        for name, task in tasks.items():
            if name in batch.targets:
                target = batch.targets[name]
                valid = task.valid(target).unsqueeze(1)
                pair = task.decode(predictions[name]), target
                x, y = (values[valid].to(widest_float(target.device)) for values in pair)
                terms = (valid.sum(), x.sum(), y.sum(), (x * x).sum(), (x * y).sum())
                sums[name] = [total + float(term) for total, term in zip(sums[name], terms, strict=True)]
    return {name: _line(name, *totals) for name, totals in sums.items()}


def _line(task: str, count: float, x: float, y: float, xx: float, xy: float) -> Line:
    if not count:
        raise DataError(f"cannot fit scale and shift of {task}: the validation set has no label for it")
    spread = xx / count - (x / count) ** 2
    # constant predictions do not determine a scale
    scale = (xy / count - x / count * y / count) / spread if spread > 1e-12 else 1.0
    return Line(scale, (y - scale * x) / count)


def _calibrated(
    predict: Callable[[Tensor], Predictions], lines: Mapping[str, Line], tasks: Mapping[str, RegressionTask]
) -> Callable[[Tensor], Predictions]:
    def calibrated(images: Tensor) -> Predictions:
        predictions = predict(images)
        return {
            name: tasks[name].encode(line.scale * tasks[name].decode(predictions[name]).float() + line.shift)
            for name, line in lines.items()
        }

    return calibrated
