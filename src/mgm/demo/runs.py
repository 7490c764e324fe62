"""The runs that a page serves: loaded once, immutable, shared by all visitors."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.demo.photographs import Photograph, example_photographs
from mgm.errors import ConfigError, MgmError
from mgm.inference.generate import TrainedGenerator
from mgm.inference.model import TrainedModel
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.listing import unfinished
from mgm.runs.pretraining import pretraining
from mgm.runs.progress import with_unit
from mgm.runs.saved_generators import STAGES, stages_with_generator


@dataclass(frozen=True)
class ServedRun:
    """A run or a model folder, ready to predict and to generate."""

    title: str
    """Unique title on the page; contains no path."""
    model: TrainedModel
    generators: dict[str, TrainedGenerator]
    """Title of a stage -> its generator; empty if none was trained."""
    summary: str
    """One line: recipe, data, scores."""
    folder: RunFolder | None = None
    """Folder of the run; None for a model folder, which has no test set."""


@dataclass(frozen=True)
class Served:
    """The runs and example images of a page."""

    runs: dict[str, ServedRun]
    """Title -> run."""
    examples: tuple[Photograph, ...]
    no_examples: str
    """Why there are no examples; empty if there are some."""

    @property
    def first(self) -> ServedRun:
        """The first run in the order of the command line."""
        return next(iter(self.runs.values()))


def open_runs(paths: Sequence[Path], device: str = "auto") -> Served:
    """Load the runs or model folders that a page serves. If there is only one run, its baseline is served with it.

    Example images come from the first run whose data exist on this machine; model folders have no data.

    Raises:
        ConfigError: If a folder is given twice, the device does not exist, or the runs take different image formats.
        RunError: If a folder holds neither a run nor a model, or has no weights.
    """
    resolved = [path.resolve() for path in paths]
    for path in paths:
        if resolved.count(path.resolve()) > 1:
            raise ConfigError(f"{path} is given more than once; give each run once")
    folders = list(paths)
    if len(folders) == 1 and RunFolder(folders[0]).baseline.finished:
        folders.append(RunFolder(folders[0]).baseline.path)
    served: dict[str, ServedRun] = {}
    for folder in folders:
        model = TrainedModel.load(folder, device)
        title = _title(folder, model.experiment.recipe, served)
        served[title] = _served(title, model, folder, device)
    kinds = {run.model.info.image: title for title, run in served.items()}
    if len(kinds) > 1:
        raise ConfigError(
            f"{' and '.join(kinds.values())} take images of {' and '.join(map(str, kinds))}; serve them separately"
        )
    return Served(served, *_examples([folder for folder in folders if RunFolder(folder).exists]))


def _served(title: str, model: TrainedModel, path: Path, device: str) -> ServedRun:
    run = RunFolder(path)
    if not run.exists:
        return ServedRun(title, model, {}, summary(model))
    generators = {STAGES[stage]: TrainedGenerator.load(path, stage, device) for stage in stages_with_generator(run)}
    result = read_result(run.result) if run.finished else None
    return ServedRun(title, model, generators, summary(model, result, unfinished(path)), run)


def _examples(runs: Sequence[Path]) -> tuple[tuple[Photograph, ...], str]:
    """Example images, or why there are none."""
    reason = "a model folder contains no data; serve its run as well, or drop an image"
    for number, run in enumerate(runs):
        try:
            return example_photographs(run), ""
        except MgmError as error:
            reason = reason if number else str(error)
    return (), reason


def _title(path: Path, recipe: str, taken: Container[str]) -> str:
    """Folder name and recipe, numbered if necessary to be unique."""
    path = path.resolve()
    name = f"{path.parent.name}/{path.name}" if path.name == "baseline" else path.name
    title = f"{name} ({recipe})"
    number = 2
    while title in taken:
        title = f"{name} ({recipe}, {number})"
        number += 1
    return title


def summary(model: TrainedModel, result: dict[str, Any] | None = None, note: str = "") -> str:
    """Describe a run or model and its test scores in one line.

    Args:
        model: The model.
        result: Contents of ``result.json``; None if there is none.
        note: How far the training has come, if it is not finished (`mgm.runs.listing.unfinished`).
    """
    height, width = model.image_size
    pretrained = pretraining(model.experiment.model)
    start = f" from a pre-trained encoder ({pretrained})" if pretrained else ""
    known = f"trained on {model.info.name} at {height} × {width}{start}"
    if note:
        return f"{known}; {note}"
    if result is None:
        return f"{known}; model folder: see its card for scores"
    known += f", {result['num_labelled']} labelled images"
    scores = [
        f"{task.title.lower()} {with_unit(value, task.metrics_info[task.primary])}"
        for name, task in model.tasks.items()
        if (value := result["test"].get(name, {}).get(task.primary)) is not None
    ]
    return f"{known}; test set: {', '.join(scores)}" if scores else known
