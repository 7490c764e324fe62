"""The runs that a page serves: opened once, never changed, shared by all visitors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.demo.photographs import Photograph, example_photographs
from mgm.errors import ConfigError, MgmError
from mgm.experiments.folder import RunFolder, read_json
from mgm.experiments.generating import TrainedGenerator
from mgm.experiments.saved_generators import stages_with_generator
from mgm.experiments.trained import TrainedModel

STAGE_TITLES = {"joint": "after joint training", "generator": "before joint training"}


@dataclass(frozen=True)
class ServedRun:
    """A run, ready to predict and to generate."""

    title: str
    """What the page calls it; unique, and no path."""
    model: TrainedModel
    generators: dict[str, TrainedGenerator]
    """Title of a stage -> the generator that it left; empty where none was trained."""
    summary: str
    """One line: recipe, data, scores."""


@dataclass(frozen=True)
class Served:
    """Everything that a page is made of."""

    runs: dict[str, ServedRun]
    """Title -> run."""
    examples: tuple[Photograph, ...]
    no_examples: str
    """Why there are no examples; empty where there are."""

    @property
    def first(self) -> ServedRun:
        """The run that was named first."""
        return next(iter(self.runs.values()))


def open_runs(paths: Sequence[Path], device: str = "auto") -> Served:
    """Open the runs of a page. A run that is served alone brings the baseline that was trained with it.

    Raises:
        ConfigError: If a run is named twice, or the device is not there.
        RunError: If a folder holds no run, or one without weights.
    """
    resolved = [path.resolve() for path in paths]
    for path in paths:
        if resolved.count(path.resolve()) > 1:
            raise ConfigError(f"{path} is named more than once; name each run once")
    folders = [RunFolder(path) for path in paths]
    if len(folders) == 1 and folders[0].baseline.finished:
        folders.append(folders[0].baseline)
    runs = {}
    for folder in folders:
        title = _title(folder, taken=runs)
        runs[title] = _open(folder, title, device)
    try:
        examples, reason = example_photographs(folders[0].path), ""
    except MgmError as error:
        examples, reason = (), str(error)
    return Served(runs, examples, reason)


def _title(folder: RunFolder, taken: dict[str, ServedRun]) -> str:
    """Name of the folder and recipe, numbered where that is not unique."""
    path = folder.path.resolve()
    name = f"{path.parent.name}/{path.name}" if path.name == "baseline" else path.name
    title = f"{name} ({folder.experiment().recipe})"
    number = 2
    while title in taken:
        title = f"{name} ({folder.experiment().recipe}, {number})"
        number += 1
    return title


def _open(folder: RunFolder, title: str, device: str) -> ServedRun:
    model = TrainedModel.load(folder.path, device)
    generators = {
        STAGE_TITLES[stage]: TrainedGenerator.load(folder.path, stage, device)
        for stage in stages_with_generator(folder)
    }
    return ServedRun(title, model, generators, summary(model, read_json(folder.result) if folder.finished else {}))


def summary(model: TrainedModel, result: dict[str, Any]) -> str:
    """What a run is and how well it did on its own test set, in one line.

    Args:
        model: Of the run.
        result: What `result.json` holds; empty for a run that is not finished.
    """
    side = model.experiment.data.image_size
    known = f"trained on {model.info.name} at {side} × {side}"
    if not result:
        return f"{known}; not finished, so this is its best model so far"
    known += f", {result['num_labelled']} labelled images"
    scores = []
    for name, task in model.tasks.items():
        value = (result["test"].get(name) or {}).get(task.primary)
        if value is not None:
            info = task.metrics_info[task.primary]
            number = f"{value:.1f}°" if info.unit == "°" else f"{value:.3f} {info.unit}".rstrip()
            scores.append(f"{task.title.lower()} {info.title} {number}")
    return f"{known}; test set: {', '.join(scores)}" if scores else known
