"""The HTML page of an experiment with several models, settings and seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby, product
from statistics import fmean
from typing import Any

from mgm.errors import RunError
from mgm.experiments.study_records import Cell, ExperimentFolder, ExperimentRecord, ModelRow, ResultTable, TrialRecord
from mgm.report.comparison import compare
from mgm.report.figures.curves import draw_bands
from mgm.report.generation import annotation_table, before_and_after, generated_table
from mgm.report.history import History, read_history, tasks_of
from mgm.report.html.rendering import Chart, attempt, charts, duration, file_uri, render
from mgm.report.html.run_facts import Cost, cost, provenance
from mgm.report.pictures import MOST_MAPS, ImageTable, prediction_table
from mgm.report.tables import are_best
from mgm.runs.folder import read_result
from mgm.runs.pretraining import marked
from mgm.runs.saved_generators import stages_with_generator
from mgm.tasks import MetricInfo

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
    states = [trial.state for trial in record.trials]
    shown = shown_trials(record.in_table)
    generating = _generating_trial(folder, record.in_table)
    generator = folder.run(generating) if generating else None
    return render(
        "experiment.html",
        name=folder.path.resolve().name,
        record=record,
        states=[(state, states.count(state)) for state in ("finished", "failed", "missing") if state in states],
        facts=_facts(record),
        table=attempt(lambda: table_section(folder.table())),
        figure=attempt(lambda: file_uri(folder.figure)) if folder.figure.exists() else None,
        charts=attempt(lambda: _charts(folder, record)),
        predictions=attempt(lambda: _predictions(folder, shown)),
        shown=shown,
        generating=generating,
        generated=attempt(lambda: generated_table(before_and_after(generator))) if generator else None,
        annotations=attempt(lambda: annotation_table(generator)) if generator else None,
        costs=attempt(lambda: _costs(folder, record)),
        made=provenance(asdict(record)) + ([("Time", duration(record.seconds))] if record.seconds else []),
        trials=[(trial, _result_of(folder, trial)) for trial in record.trials],
    )


def shown_trials(trials: list[TrialRecord]) -> list[TrialRecord]:
    """Choose the trials whose predictions are shown: ST, MT and MGM of the setting and seed that has the most of them.

    If there are fewer than two of these, up to `MOST_MODELS` other trials of that setting and seed are chosen.
    """
    groups: dict[tuple[str, int], list[TrialRecord]] = defaultdict(list)
    for trial in _finished(trials):
        groups[trial.setting, trial.seed].append(trial)
    if not groups:
        return []
    chosen = max(groups.values(), key=lambda group: len({trial.recipe for trial in group}.intersection(FIGURE_RECIPES)))
    known = [trial for recipe in FIGURE_RECIPES for trial in chosen if trial.recipe == recipe]
    return known if len(known) > 1 else chosen[:MOST_MODELS]


def _finished(trials: list[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state == "finished"]


def _generating_trial(folder: ExperimentFolder, trials: list[TrialRecord]) -> TrialRecord | None:
    """Choose the trial whose generated images are shown: one of recipe ``mgm``, else any with a generator."""
    able = [trial for trial in _finished(trials) if stages_with_generator(folder.run(trial))]
    return next((trial for trial in able if trial.recipe == "mgm"), able[0] if able else None)


def _facts(record: ExperimentRecord) -> list[tuple[str, str]]:
    seeds = ", ".join(map(str, record.seeds))
    facts = {
        "Paper": record.paper if record.from_paper else "",
        "Data": record.data,
        "Preset": record.preset,
        "Settings": ", ".join(record.settings),
        "Models": ", ".join(dict.fromkeys(trial.model for trial in record.in_table)),
        record.repeats.capitalize(): f"{seeds} ({len(record.seeds)})" if record.seeds else "",
    }
    return [(name, value) for name, value in facts.items() if value]


@dataclass(frozen=True)
class CellText:
    """Texts of a cell; a dash if we have no value."""

    mean: str
    std: str
    """Empty for one seed."""
    best: bool
    """Whether it is the best mean among our values of its setting."""
    values: str
    """The values of all seeds."""
    paper: str
    """The paper's value; empty if there is none."""


@dataclass(frozen=True)
class TableSection:
    """The formatted table; sentences and notes are in ``source``."""

    source: ResultTable
    columns: list[tuple[str, str, bool]]
    """Task, metric with unit and direction, and whether the paper has values for it."""
    groups: list[tuple[str, list[tuple[ModelRow, str, list[CellText]]]]]
    """Setting -> row, its title (marked if the encoder was pre-trained), its cells."""

    @property
    def tasks(self) -> list[tuple[str, int]]:
        """Title of a task -> number of table columns that it takes, those of the paper's values included."""
        by_task = groupby(self.columns, lambda column: column[0])
        return [(task, sum(1 + paper for _, _, paper in columns)) for task, columns in by_task]


def table_section(table: ResultTable) -> TableSection:
    """Format the table; the paper's values are not considered for the best mean."""
    infos = {c.key: MetricInfo(c.title, c.higher_is_better, c.unit, c.decimals) for c in table.columns}
    in_paper = {key: any(row.values.get(key, Cell()).paper is not None for row in table.rows) for key in infos}
    columns = [(c.task_title or c.task, infos[c.key].heading, in_paper[c.key]) for c in table.columns]
    groups: list[tuple[str, list[tuple[ModelRow, str, list[CellText]]]]] = []
    for setting, group in groupby(table.rows, lambda row: row.setting):
        rows = list(group)
        texts = [_texts([row.values.get(c.key, Cell()) for row in rows], infos[c.key]) for c in table.columns]
        cells = [[column[number] for column in texts] for number in range(len(rows))]
        titles = [marked(row.model, row.pretrained) for row in rows]
        groups.append((setting, list(zip(rows, titles, cells, strict=True))))
    return TableSection(table, columns, groups)


def _texts(cells: list[Cell], info: MetricInfo) -> list[CellText]:
    """The cells of a column in one setting."""
    means = [math.nan if cell.mean is None else cell.mean for cell in cells]
    texts: list[CellText] = []
    for cell, mean, best in zip(cells, means, are_best(means, info), strict=True):
        paper = "" if cell.paper is None else info.number(cell.paper)
        known = math.isfinite(mean)
        std = "" if cell.std is None or not known else info.number(cell.std)
        values = ", ".join(info.number(value) for value in cell.values) if known else ""
        texts.append(CellText(info.number(mean), std, best, values, paper))
    return texts


def _charts(folder: ExperimentFolder, record: ExperimentRecord) -> list[tuple[str, list[Chart]]]:
    """Setting -> charts of the validation scores, with the mean and a band per model."""
    groups: dict[str, dict[str, list[History]]] = {trial.setting: defaultdict(list) for trial in record.in_table}
    for trial in record.in_table:
        history = read_history(folder.run(trial).metrics_log)
        if history.scores:
            groups[trial.setting][trial.model].append(history)
    sections = [
        (setting, charts(draw_bands, tasks_of(chain.from_iterable(models.values())), models))
        for setting, models in groups.items()
        if models
    ]
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
    settings = dict.fromkeys(trial.setting for trial in record.in_table)
    models = dict.fromkeys(trial.model for trial in record.in_table)
    for setting, model in product(settings, models):
        trials = [trial for trial in _finished(record.in_table) if (trial.setting, trial.model) == (setting, model)]
        costs = [cost(model, folder.run(trial)) for trial in trials if folder.run(trial).finished]
        if costs:
            title = f"{model}, {setting}" if setting else model
            seconds, memory = _mean([c.seconds for c in costs]), _mean([c.memory_mb for c in costs])
            rows.append(replace(costs[0], title=title, seconds=seconds, memory_mb=memory))
    if not rows:
        raise RunError("no trial is finished, or their folders no longer exist")
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _result_of(folder: ExperimentFolder, trial: TrialRecord) -> dict[str, Any]:
    """The result of a trial; empty if it is not finished, or its file is damaged."""
    if not folder.run(trial).finished:
        return {}
    found = attempt(lambda: read_result(folder.run(trial).result))
    return found if isinstance(found, dict) else {}
