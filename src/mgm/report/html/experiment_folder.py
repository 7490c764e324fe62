"""The files of an experiment's folder: ``experiment.json`` and ``table.json``, validated when they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mgm.runs.folder import RunFolder, read_json

EXPERIMENT_FILE = "experiment.json"
TABLE_FILE = "table.json"
FIGURE_FILE = "figure.png"


@dataclass(frozen=True)
class Trial:
    """A run of the experiment."""

    name: str
    folder: str
    """Of the run, relative to that of the experiment."""
    model: str
    """Title of its row."""
    recipe: str
    seed: int
    state: Literal["finished", "failed", "missing"]
    setting: str = ""
    error: str | None = None


@dataclass(frozen=True)
class ExperimentRecord:
    """The question of an experiment, and its trials."""

    name: str
    title: str
    trials: list[Trial]
    paper: str = ""
    """The paper's table or figure."""
    command: str = ""
    commit: str | None = None
    data: str = ""
    preset: str = ""
    seeds: list[int] = field(default_factory=list[int])
    repeats: str = "seeds"
    """What the runs of a row differ in: seeds, or folds of a cross-validation."""
    settings: list[str] = field(default_factory=list[str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    seconds: float | None = None


@dataclass(frozen=True)
class MetricColumn:
    """A metric of a task."""

    task: str
    metric: str
    title: str
    unit: str = ""
    higher_is_better: bool = True

    @property
    def key(self) -> str:
        """Under which cells are kept."""
        return f"{self.task}.{self.metric}"


@dataclass(frozen=True)
class Cell:
    """A metric over the seeds; None where it is unknown."""

    mean: float | None = None
    std: float | None = None
    values: list[float | None] = field(default_factory=list[float | None])
    paper: float | None = None
    """The paper's own value, for reference only."""


@dataclass(frozen=True)
class ModelRow:
    """A model in a setting."""

    model: str
    values: dict[str, Cell]
    setting: str = ""
    recipe: str = ""
    in_paper: bool = True
    count: int | None = None
    """Number of seeds."""
    pretrained: str = ""
    """What its encoder was pre-trained on; empty: from scratch."""


@dataclass(frozen=True)
class ResultTable:
    """The experiment's table and what statistics say about it."""

    columns: list[MetricColumn]
    rows: list[ModelRow]
    sentences: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class ExperimentFolder:
    """Access to the files of an experiment."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether an experiment was begun here."""
        return (self.path / EXPERIMENT_FILE).exists()

    @property
    def figure(self) -> Path:
        """The experiment's own figure, where it has one."""
        return self.path / FIGURE_FILE

    def record(self) -> ExperimentRecord:
        """The question and the trials.

        Raises:
            RunError: If the file is missing or damaged, or lacks something.
        """
        return read_json(self.path / EXPERIMENT_FILE, ExperimentRecord)

    def table(self) -> ResultTable:
        """The table.

        Raises:
            RunError: If the file is missing (the experiment is not finished) or damaged.
        """
        return read_json(self.path / TABLE_FILE, ResultTable)

    def run(self, trial: Trial) -> RunFolder:
        """The folder of a trial, which need not exist."""
        return RunFolder(self.path / trial.folder)
