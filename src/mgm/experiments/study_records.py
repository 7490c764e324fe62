"""Contents of ``experiment.json`` and ``table.json`` in the folder of an experiment, and access to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mgm.runs.folder import RunFolder, read_json

EXPERIMENT_FILE = "experiment.json"
TABLE_FILE = "table.json"
FIGURE_FILE = "figure.png"
PREREQUISITE = "(prerequisite)"
"""In place of a model: a run that others depend on and that is no row of the table."""


@dataclass(frozen=True)
class TrialRecord:
    """A run of an experiment."""

    name: str
    folder: str
    """Folder of the run, relative to the folder of the experiment."""
    model: str
    """Title of its row in the table."""
    recipe: str
    seed: int
    state: Literal["finished", "failed", "missing"]
    setting: str = ""
    error: str | None = None
    command: str | None = None


@dataclass(frozen=True)
class ExperimentRecord:
    """Title, provenance and trials of an experiment."""

    name: str
    title: str
    trials: list[TrialRecord]
    paper: str = ""
    """The paper's table or figure."""
    command: str = ""
    commit: str | None = None
    """Commit of the last command; the commits of its trials are in `commits`."""
    commits: list[str] = field(default_factory=list[str])
    data: str = ""
    preset: str = ""
    seeds: list[int] = field(default_factory=list[int])
    repeats: str = "seeds"
    """What the runs of a row differ in: seeds, or folds of a cross-validation."""
    same_split: bool = False
    settings: list[str] = field(default_factory=list[str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    seconds: float | None = None
    seconds_of_trials: float = 0.0
    from_paper: bool = True
    """Whether it repeats an experiment of the paper."""

    @property
    def in_table(self) -> list[TrialRecord]:
        """The trials without the prerequisites."""
        return [trial for trial in self.trials if trial.model != PREREQUISITE]


@dataclass(frozen=True)
class MetricColumn:
    """A metric of a task."""

    task: str
    metric: str
    title: str
    unit: str = ""
    higher_is_better: bool = True
    task_title: str = ""
    decimals: int = 3
    """Decimal places; tables of older versions have 3."""

    @property
    def key(self) -> str:
        """Key of its cells in `ModelRow.values`."""
        return f"{self.task}.{self.metric}"


@dataclass(frozen=True)
class Cell:
    """A metric over the seeds; None where unknown."""

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
    """Data that its encoder was pre-trained on; empty: from scratch."""
    paper_other: dict[str, float | None] = field(default_factory=dict[str, float | None])
    """Task -> the paper's value in a metric that is not among the columns."""


@dataclass(frozen=True)
class ResultTable:
    """The table of an experiment and its statistics."""

    columns: list[MetricColumn]
    rows: list[ModelRow]
    sentences: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    paper: dict[str, Any] | None = None
    """Data set and metrics of the paper's values."""
    comparisons: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """All paired tests."""


@dataclass(frozen=True)
class ExperimentFolder:
    """Access to the files of an experiment."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether the folder holds an experiment."""
        return (self.path / EXPERIMENT_FILE).exists()

    @property
    def figure(self) -> Path:
        """Path of the experiment's figure, which may not exist."""
        return self.path / FIGURE_FILE

    def record(self) -> ExperimentRecord:
        """Read ``experiment.json``. Raises `RunError` if the file is missing, damaged or incomplete."""
        return read_json(self.path / EXPERIMENT_FILE, ExperimentRecord)

    def table(self) -> ResultTable:
        """Read ``table.json``. Raises `RunError` if the file is missing (the experiment is not finished) or damaged."""
        return read_json(self.path / TABLE_FILE, ResultTable)

    def run(self, trial: TrialRecord) -> RunFolder:
        """Folder of a trial's run, which may not exist."""
        return RunFolder(self.path / trial.folder)
