"""The files of a study: its table as Markdown, CSV and JSON, and a record of its provenance."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mgm.data.files import write_text
from mgm.experiments.comparisons import Answer, Test, seeds_text, summary
from mgm.experiments.label_efficiency import label_efficiency_sentences
from mgm.experiments.plans import Plan, Trial
from mgm.experiments.statistics import spread
from mgm.experiments.study_records import (
    EXPERIMENT_FILE,
    PREREQUISITE,
    TABLE_FILE,
    Cell,
    ExperimentRecord,
    MetricColumn,
    ModelRow,
    ResultTable,
    TrialRecord,
)
from mgm.experiments.tables import Table, Value, make_table, notes, other_paper_values
from mgm.runs.folder import RunFolder, read_result, seconds_spent, write_json
from mgm.runs.provenance import current_commit, versions
from mgm.tasks.metrics import UNKNOWN
from mgm.training.checkpoint import make_folder


@dataclass(frozen=True)
class Place:
    """Folders of the trials and results of studies."""

    out: Path

    def trial(self, trial: Trial) -> RunFolder:
        """The run of a trial, shared by all studies below ``out``."""
        return RunFolder(self.out / "trials" / trial.name)

    @property
    def stages(self) -> Path:
        """Folder of the stages shared by several trials, each trained once (`mgm.runs.stages`)."""
        return self.out / "stages"

    def study(self, name: str) -> Path:
        """Folder of a study's table and figure."""
        return self.out / name


def write_study(
    plan: Plan, place: Place, data: str, *, preset: str, errors: Mapping[str, str], command: str, seconds: float
) -> Table:
    """Write the results so far into the study's folder: the table as Markdown, CSV and JSON, and a record of its provenance."""
    table = make_table(plan, place.trial, data)
    folder = place.study(plan.name)
    make_folder(folder)
    described = as_json(table)
    about = _about(plan, place, data, preset, errors, command, seconds)
    write_text(folder / "table.md", _page(table, described, about))
    write_text(folder / "table.csv", as_csv(table))
    write_json(folder / TABLE_FILE, described)
    write_json(folder / EXPERIMENT_FILE, asdict(about))
    return table


def _page(table: Table, described: dict[str, Any], about: ExperimentRecord) -> str:
    """The Markdown file: title, command, table, and the results in words."""
    plan = table.plan
    made = (
        f"Commit {', '.join(about.commits)}; torch {about.versions['torch']}; "
        f"{about.seconds_of_trials:.0f} s of training in {len(plan.trials)} trials."
    )
    sentences = [f"- {line}\n" for line in described["sentences"]]
    if len(plan.seeds) == 1:
        sentences = sentences or ["- One seed: no significance tests.\n"]
    return (
        f"# {plan.study.paper}: {plan.study.title}\n\n"
        f"{table.data}, preset `{about.preset}`, {plan.repetitions}; test set; mean ± standard deviation.\n\n"
        f"    {about.command}\n\n{made}\n\n{markdown(table)}\n"
        + "".join(sentences)
        + "".join(f"- {note}\n" for note in described["notes"])
        + comparisons_markdown(table)
    )


def _about(
    plan: Plan, place: Place, data: str, preset: str, errors: Mapping[str, str], command: str, seconds: float
) -> ExperimentRecord:
    runs = {trial.name: place.trial(trial) for trial in plan.trials}
    results = {name: read_result(run.result) if run.finished else {} for name, run in runs.items()}
    shown = [(cell.trial, cell.row.title, cell.setting, cell.seed) for cell in plan.cells]
    names = {cell.trial.name for cell in plan.cells}
    shown += [(t, PREREQUISITE, "", t.experiment.seed) for t in plan.trials if t.name not in names]

    def record(trial: Trial, model: str, setting: str, seed: int) -> TrialRecord:
        result, error = results[trial.name], errors.get(trial.name)
        return TrialRecord(
            trial.name,
            f"../trials/{trial.name}",
            model,
            trial.experiment.recipe,
            seed,
            "finished" if result else "failed" if error else "missing",
            setting,
            None if result else error,
            result.get("command"),
        )

    return ExperimentRecord(
        plan.name,
        plan.study.title,
        [record(*trial) for trial in shown],
        plan.study.paper,
        command,
        current_commit(),
        sorted({str(result.get("commit")) for result in results.values() if result}),
        data,
        preset,
        list(plan.seeds),
        plan.study.repeats,
        plan.same_split,
        list(plan.settings),
        versions(),
        round(seconds, 1),
        round(seconds_spent(results.values()), 1),
        plan.study.from_paper,
    )


def markdown(table: Table) -> str:
    """The table in the paper's layout if that has models as columns, then one line per model with the paper's values."""
    study = table.plan.study
    parts = [_across(table)] if study.across or study.all_metrics else []
    if not study.all_metrics:
        parts.append(_down(table))
    return "\n".join(parts)


def comparisons_markdown(table: Table) -> str:
    """Tables of all paired comparisons: the primary questions in full, then the exploratory ones."""
    text = ""
    for primary, title in ((True, "Primary questions"), (False, "Exploratory comparisons (p-values not corrected)")):
        header = ["comparison", "task", "difference (+ is better)", "95 % CI", "p (t-test)", "p (sign flip)"]
        header += ["p (Holm)", "bootstrap 95 % CI", "p (bootstrap)"] * primary
        header += [f"detectable, {len(table.plan.seeds)} seeds", "seeds for 80 % power", "for the paper's difference"]
        rows: list[list[str]] = []
        for answer in table.answers:
            if answer.question.primary == primary:
                named = f"{answer.question.recipe} − {answer.question.reference}"
                tests = answer.tests.items()
                rows += [[named, task, *_tests(test, primary, table.digits(task))] for task, test in tests]
        if rows:
            text += f"\n## {title}\n\n{markdown_rows(header, rows, left=2)}"
    return text


def _tests(test: Test, primary: bool, digits: int) -> list[str]:
    def signed(number: float) -> str:
        return decimal(number, digits, "+")

    one, again = test.comparison, test.bootstrap
    cells = [signed(one.mean), f"{signed(one.low)} to {signed(one.high)}"]
    cells += [decimal(one.t_p, 3), decimal(one.sign_flip_p, 3)]
    if primary:
        cells.append(decimal(test.p, 3))
        cells += [f"{signed(again.low)} to {signed(again.high)}", decimal(again.p, 3)] if again else [UNKNOWN, UNKNOWN]
    needed = [seeds_text(test.needed, one.std)]
    needed.append(UNKNOWN if test.needed_for_paper is None else str(test.needed_for_paper))
    return [*cells, decimal(test.detectable, digits), *needed]


def decimal(number: float, digits: int, sign: Literal["+", ""] = "") -> str:
    """Format a number with so many decimal places, and a plus sign if wanted; a dash for NaN."""
    return UNKNOWN if math.isnan(number) else f"{number:{sign}z.{digits}f}"


def _plain(answer: Answer) -> dict[str, Any]:
    """A paired comparison as plain values."""

    def flat(test: Test) -> dict[str, Any]:
        values = asdict(test)
        return {**values.pop("comparison"), **values}

    return {
        "model": answer.question.recipe,
        "reference": answer.question.reference,
        "about": answer.question.about,
        "primary": answer.question.primary,
        "expected": answer.question.expected,
        "as_expected": answer.as_expected,
        "tasks": {task: flat(test) for task, test in answer.tasks.items()},
        "delta_m": flat(answer.mean),
    }


def _down(table: Table) -> str:
    """One line per setting and model, with the paper's values to the right of ours and its other metrics at the end."""
    with_paper = {c.key for c in table.columns if any(line.values[c.key].paper is not None for line in table.lines)}
    others = other_paper_values(table, table.lines[0])
    several = len(table.plan.settings) > 1
    header = ["setting"] * several + ["model", table.plan.study.repeats]
    for column in table.columns:
        header += [column.title] + ["*paper*"] * (column.key in with_paper)
    header += [f"*paper: {task}, mean loss*" for task in others]
    rows: list[list[str]] = []
    for line in table.lines:
        cells = [line.setting] * several + [line.title, str(line.count)]
        for column in table.columns:
            value = line.values[column.key]
            cells.append(value.text(column))
            if column.key in with_paper:
                cells.append(_italic(value.paper))
        rows.append(cells + [_italic(value) for value in other_paper_values(table, line).values()])
    return markdown_rows(header, rows, left=1 + several)


def _italic(value: float | None) -> str:
    return "" if value is None else f"*{value:g}*"


def _across(table: Table) -> str:
    """Metrics as rows and the models of every setting as columns, as in the paper."""
    header = ["", *(f"{line.setting} {line.title}" for line in table.lines)]
    every = table.plan.study.all_metrics
    rows = [
        [f"{c.kind.title}: " * every + c.title, *(line.values[c.key].text(c) for line in table.lines)]
        for c in table.columns
    ]
    return markdown_rows(header, rows, left=1)


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A Markdown table with aligned columns."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    marks = [":--" if number < left else "--:" for number in range(len(header))]
    text = ""
    for cells in (header, marks, *rows):
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        text += f"| {' | '.join(padded)} |\n"
    return text


def as_csv(table: Table) -> str:
    """CSV with one line per cell: setting, model, recipe, task, metric, mean, standard deviation, values, paper's value, ..."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["setting", "model", "recipe", "task", "metric", "mean", "std", "seeds", "values", "paper", "pretrained"]
    )
    for line in table.lines:
        for column in table.columns:
            value = line.values[column.key]
            known = spread(value.values)
            by_seed = " ".join("" if math.isnan(number) else f"{number:.6g}" for number in value.values)
            writer.writerow(
                [line.setting, line.row.title, line.row.recipe, column.task, column.metric]
                + ["" if math.isnan(number) else f"{number:.6g}" for number in (known.mean, known.std)]
                + [known.count, by_seed, "" if value.paper is None else value.paper, line.pretrained]
            )
    return text.getvalue()


def as_json(table: Table) -> dict[str, Any]:
    """The table as plain values, in the structure of `ResultTable`."""
    found = table.answers
    columns = [
        MetricColumn(c.task, c.metric, i.title, i.unit, i.higher_is_better, c.kind.title, i.decimals)
        for c, i in ((column, column.info) for column in table.columns)
    ]
    rows = [
        ModelRow(
            line.row.title,
            {key: _cell(value) for key, value in line.values.items()},
            line.setting,
            line.row.recipe,
            line.row.in_paper,
            line.count,
            line.pretrained,
            other_paper_values(table, line),
        )
        for line in table.lines
    ]
    paper = None if table.paper is None else {"data": table.paper.data, "metrics": table.paper.metrics}
    sentences = (summary(found).splitlines() if found else []) + label_efficiency_sentences(table)
    return asdict(ResultTable(columns, rows, sentences, notes(table), paper, list(map(_plain, found))))


def _cell(value: Value) -> Cell:
    known = spread(value.values)
    return Cell(known.mean, known.std, list(value.values), value.paper)
