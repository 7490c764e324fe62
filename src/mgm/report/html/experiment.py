"""The HTML page of an experiment with several models, settings and seeds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

from mgm.errors import RunError
from mgm.experiments.study_records import ExperimentFolder, ExperimentRecord, TrialRecord
from mgm.report.comparison import compare
from mgm.report.figures.curves import draw_bands
from mgm.report.generation import annotate_generated, before_and_after, has_generator
from mgm.report.history import History, read_history, tasks_of
from mgm.report.html.charts import Chart, charts
from mgm.report.html.experiment_table import table_section
from mgm.report.html.rendering import attempt, duration, file_uri, render
from mgm.report.html.run_facts import Cost, cost, provenance
from mgm.report.pictures import MOST_MAPS, ImageTable, annotation_table, generated_table, prediction_table
from mgm.runs.folder import read_result

FIGURE_RECIPES = ("st", "mt", "mgm")
"""Recipes whose predictions the paper shows side by side, in its order."""
MOST_MODELS = 4
"""Largest number of models with predictions on the page, if the experiment has none of these recipes."""


def experiment_page(folder: ExperimentFolder) -> str:
    """The page of an experiment, finished or not; a section that cannot be shown states the reason.

    Raises:
        RunError: If ``experiment.json`` is missing or damaged.
    """
    record = folder.record()
    shown = shown_trials(record.trials)
    generating = generating_trial(folder, record.trials)
    generator_folder = folder.run(generating) if generating else None
    return render(
        "experiment.html",
        name=folder.path.resolve().name,
        record=record,
        states=_states(record),
        facts=_facts(record),
        table=attempt(lambda: table_section(folder.table())),
        figure=attempt(lambda: file_uri(folder.figure)) if folder.figure.exists() else None,
        charts=attempt(lambda: _charts(folder, record)),
        predictions=attempt(lambda: _predictions(folder, shown)),
        shown=shown,
        generating=generating,
        generated=attempt(lambda: generated_table(before_and_after(generator_folder))) if generator_folder else None,
        annotations=attempt(lambda: annotation_table(annotate_generated(generator_folder)))
        if generator_folder
        else None,
        costs=attempt(lambda: _costs(folder, record)),
        made=provenance(asdict(record)) + ([("Time", duration(record.seconds))] if record.seconds else []),
        trials=[_trial_facts(folder, trial) for trial in record.trials],
    )


def finished(trials: list[TrialRecord]) -> list[TrialRecord]:
    """The finished trials."""
    return [trial for trial in trials if trial.state == "finished"]


def shown_trials(trials: list[TrialRecord]) -> list[TrialRecord]:
    """Choose the trials whose predictions are shown: ST, MT and MGM of the setting and seed that has the most of them.

    If there are fewer than two of these, up to `MOST_MODELS` other trials of that setting and seed are chosen.
    """
    groups: dict[tuple[str, int], list[TrialRecord]] = defaultdict(list)
    for trial in finished(trials):
        groups[trial.setting, trial.seed].append(trial)
    if not groups:
        return []
    chosen = max(groups.values(), key=lambda group: sum(trial.recipe in FIGURE_RECIPES for trial in group))
    known = [trial for recipe in FIGURE_RECIPES for trial in chosen if trial.recipe == recipe]
    return known if len(known) > 1 else chosen[:MOST_MODELS]


def generating_trial(folder: ExperimentFolder, trials: list[TrialRecord]) -> TrialRecord | None:
    """Choose the trial whose generated images are shown: one of recipe ``mgm``, else any with a generator."""
    able = [trial for trial in finished(trials) if has_generator(folder.run(trial))]
    return next((trial for trial in able if trial.recipe == "mgm"), able[0] if able else None)


def _states(record: ExperimentRecord) -> list[tuple[str, int]]:
    counts = (
        (state, sum(trial.state == state for trial in record.trials)) for state in ("finished", "failed", "missing")
    )
    return [(state, count) for state, count in counts if count]


def _facts(record: ExperimentRecord) -> list[tuple[str, str]]:
    seeds = ", ".join(map(str, record.seeds))
    facts = {
        "Paper": record.paper if record.from_paper else "",
        "Data": record.data,
        "Preset": record.preset,
        "Settings": ", ".join(record.settings),
        "Models": ", ".join(dict.fromkeys(trial.model for trial in record.trials)),
        record.repeats.capitalize(): f"{seeds} ({len(record.seeds)})" if record.seeds else "",
    }
    return [(name, value) for name, value in facts.items() if value]


def _charts(folder: ExperimentFolder, record: ExperimentRecord) -> list[tuple[str, list[Chart]]]:
    """Setting -> charts of the validation scores, with the mean and a band per model."""
    sections: list[tuple[str, list[Chart]]] = []
    for setting in dict.fromkeys(trial.setting for trial in record.trials):
        groups: dict[str, list[History]] = defaultdict(list)
        for trial in record.trials:
            history = read_history(folder.run(trial).metrics_log) if trial.setting == setting else History()
            if history.scores:
                groups[trial.model].append(history)
        if groups:
            tasks = tasks_of([history for group in groups.values() for history in group])
            sections.append((setting, charts(draw_bands, tasks, groups)))
    if not sections:
        raise RunError("no trial has logged a validation score")
    return sections


def _predictions(folder: ExperimentFolder, shown: list[TrialRecord]) -> ImageTable:
    if not shown:
        raise RunError("no trial is finished")
    return prediction_table(compare({trial.model: folder.run(trial) for trial in shown}), most=MOST_MAPS)


def _costs(folder: ExperimentFolder, record: ExperimentRecord) -> list[Cost]:
    """One row per model and setting: the mean over seeds."""
    rows: list[Cost] = []
    done = sorted(finished(record.trials), key=lambda trial: _place(trial, record))
    for (setting, model), trials in groupby(done, lambda trial: (trial.setting, trial.model)):
        costs = [cost(model, folder.run(trial)) for trial in trials if folder.run(trial).finished]
        if costs:
            title = f"{model}, {setting}" if setting else model
            seconds, memory = _mean([c.seconds for c in costs]), _mean([c.memory_mb for c in costs])
            first = costs[0]
            rows.append(Cost(title, seconds, first.steps, first.updates, first.parameters, memory))
    if not rows:
        raise RunError("no trial is finished, or their folders no longer exist")
    return rows


def _place(trial: TrialRecord, record: ExperimentRecord) -> tuple[int, int]:
    """Sort key of a trial: settings and models in the order of the record."""
    settings = [other.setting for other in record.trials]
    models = [other.model for other in record.trials]
    return settings.index(trial.setting), models.index(trial.model)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@dataclass(frozen=True)
class TrialFacts:
    """A trial and its provenance according to its result."""

    trial: TrialRecord
    command: str
    commit: str
    device: str
    seconds: float | None


def _trial_facts(folder: ExperimentFolder, trial: TrialRecord) -> TrialFacts:
    result: dict[str, Any] = {}
    if folder.run(trial).finished:
        found = attempt(lambda: read_result(folder.run(trial).result))
        result = found if isinstance(found, dict) else {}
    return TrialFacts(
        trial,
        result.get("command") or "",
        result.get("commit") or "–",
        result.get("device") or "–",
        result.get("seconds"),
    )
