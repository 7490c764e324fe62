"""Summaries of all runs below a folder: settings, progress, scores. Damaged runs are listed as such instead of raising."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mgm.config import Experiment
from mgm.data.files import walk
from mgm.errors import MgmError, RunError
from mgm.method.algorithm import stages
from mgm.runs.diversity import has_collapsed
from mgm.runs.folder import Failure, RunFolder, Scores, read_json, read_result
from mgm.runs.pretraining import pretraining
from mgm.tasks import task_kinds, tasks_for
from mgm.tasks.base import MetricInfo
from mgm.training.metrics_log import Record, read_metrics_log

STATES = ("finished", "running", "stopped", "diverged", "failed", "damaged")


@dataclass(frozen=True)
class RunSummary:
    """Summary of a run."""

    path: str
    state: str
    """One of `STATES`."""
    detail: str = ""
    """Progress, or the error."""
    recipe: str = ""
    data: str = ""
    labelled: int | None = None
    """Number of labelled images; None unless finished."""
    seed: int | None = None
    steps: int = 0
    """Steps of M on labelled batches so far."""
    total_steps: int = 0
    scores: dict[str, float] = field(default_factory=dict[str, float])
    """Task -> value of its primary metric: on the test set if finished, otherwise on the validation set at the best step so far."""
    metrics: dict[str, MetricInfo] = field(default_factory=dict[str, MetricInfo], repr=False)
    """Task -> description of its primary metric."""
    gain: float | None = None
    """Mean relative improvement over the baseline, a fraction."""
    seconds: float | None = None
    """Training time of a finished run's model, including stages that it shares with other runs."""
    pretrained: str = ""
    """Data that the encoder was pre-trained on; empty: trained from scratch."""

    def to_dict(self) -> dict[str, Any]:
        """All fields but `metrics`, as plain values."""
        return {name: value for name, value in asdict(self).items() if name != "metrics"}

    def to_row(self) -> dict[str, Any]:
        """`to_dict` flattened for a row of a CSV file; scores are named ``score/TASK``."""
        fields = self.to_dict()
        return fields | {f"score/{task}": value for task, value in fields.pop("scores").items()}


def find_runs(folder: Path) -> Iterator[Path]:
    """Yield the run folders below a folder (or the folder itself), sorted by name, without the baselines inside runs.

    Raises:
        RunError: If there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder; runs are made by: mgm train --out {folder}/NAME")
    for place, folders, files in walk(folder):
        if "config.yaml" in files and ("dataset.json" in files or "checkpoints" in folders):
            folders.clear()
            yield Path(place)


def summarise(path: Path) -> RunSummary:
    """Summarise a run; a damaged one has the state ``damaged`` and the error as detail."""
    try:
        return _summary(RunFolder(path))
    except MgmError as error:
        return RunSummary(str(path), "damaged", str(error))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return RunSummary(str(path), "damaged", f"its files contradict each other ({type(error).__name__}: {error})")


def _summary(folder: RunFolder) -> RunSummary:
    experiment, info = folder.experiment(), folder.info()
    learned = experiment.data.tasks or info.tasks
    kinds = task_kinds(info.own_tasks)
    known = [name for name in learned if name in kinds]
    tasks = tasks_for(info, known) if known else {}
    result: dict[str, Any] = read_result(folder.result) if folder.finished else {}
    records = list(read_metrics_log(folder.metrics_log))
    scores = result["test"] if result else _best_validation(records)
    state, detail = _state(folder, experiment, records)
    if "diversity" in result and has_collapsed(result["diversity"]):
        detail = "generator collapsed (mgm report says more)"
    if foreign := ", ".join(name for name in learned if name not in kinds):
        detail = "; ".join(filter(None, [detail, f"{foreign}: no task that is loaded (--plugin FILE.py)"]))
    return RunSummary(
        str(folder.path),
        state,
        detail,
        experiment.recipe,
        info.name,
        result.get("num_labelled"),
        experiment.seed,
        experiment.training.steps if result else _steps(experiment, records),
        experiment.training.steps,
        {name: value for name, task in tasks.items() if (value := scores.get(name, {}).get(task.primary)) is not None},
        {name: task.metrics_info[task.primary] for name, task in tasks.items()},
        result.get("gain", {}).get("mean"),
        result.get("seconds"),
        pretraining(experiment.model),
    )


def unfinished(path: Path) -> str:
    """How far the run in a folder has come, in words, for those who use its best model; empty if it is finished or no run."""
    folder = RunFolder(path)
    if folder.finished or not folder.exists:
        return ""
    try:
        at = f": {_progress(folder.experiment(), list(read_metrics_log(folder.metrics_log)))}"
    except MgmError:  # its log is damaged, which hinders nobody from using its model
        at = ""
    return f"run not finished{at}, the best model so far"


def _state(folder: RunFolder, experiment: Experiment, records: Sequence[Record]) -> tuple[str, str]:
    if folder.finished:
        return "finished", ""
    place = f"{records[-1]['stage']} {records[-1]['step']}" if records else "not begun"
    at = f"{_progress(experiment, records)} ({place})"
    if folder.baseline.exists and not folder.baseline.finished and not records:
        at = "in its baseline"
    if folder.in_use:
        return "running", at
    failed = next((member for member in (folder, folder.baseline) if member.failure.exists()), None)
    if failed is None:
        return "stopped", at
    failure = read_json(failed.failure, Failure)
    state = "diverged" if failure["error"] == "TrainingDivergedError" else "failed"
    return state, f"{at}: {str(failure['reason']).splitlines()[0] if failure['reason'] else failure['error']}"


def _progress(experiment: Experiment, records: Sequence[Record]) -> str:
    return f"step {_steps(experiment, records)} of {experiment.training.steps}"


def _steps(experiment: Experiment, records: Sequence[Record]) -> int:
    """Steps of M on labelled batches up to the last record."""
    if not records:
        return 0
    last, done = records[-1], 0
    schedule = stages(experiment)
    for stage in schedule:
        if stage.name == last["stage"]:
            return done + (int(last["step"]) if stage.trains_on_labels else 0)
        done += stage.steps if stage.trains_on_labels else 0
    raise RunError(f"its metrics log names a stage {last['stage']!r} that its settings do not have")


def _best_validation(records: Sequence[Record]) -> Scores:
    scored = [(score, record) for record in records if (score := record.get("score")) is not None]
    return max(scored, key=lambda pair: pair[0])[1].get("validation", {}) if scored else {}
