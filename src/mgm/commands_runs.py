"""``mgm runs`` and ``mgm compare``: what has been trained, and finished runs side by side."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from mgm.commands import parse
from mgm.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.table import Table

    from mgm.experiments.listing import RunSummary
    from mgm.experiments.side_by_side import FinishedRun
    from mgm.tasks.base import Task


@dataclass(frozen=True)
class RunsOptions:
    """List the runs below a folder with their state and key figures.

    Example: mgm runs runs --csv > runs.csv
    """

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Where to look."""
    json: bool = False
    """Print JSON instead of a table."""
    csv: bool = False
    """Print CSV instead of a table."""


def runs(arguments: list[str]) -> None:
    """``mgm runs``."""
    options = parse(RunsOptions, "runs", arguments)
    if options.json and options.csv:
        raise ConfigError("--json and --csv exclude each other")
    from mgm.experiments.listing import find_runs, summarise

    found = [summarise(path) for path in find_runs(options.folder)]
    if options.json:
        from mgm.training.journal import plain

        print(json.dumps([plain(_fields(run)) for run in found], indent=2))
    elif options.csv:
        rows = [_flat(run) for run in found]
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["path", "state"]
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif not found:
        print(f"no runs in {options.folder}; they are made by: mgm train --out {options.folder}/NAME")
    else:
        _print_runs(found, options.folder)


def _fields(run: RunSummary) -> dict[str, Any]:
    return {name: value for name, value in asdict(run).items() if name != "metrics"}


def _flat(run: RunSummary) -> dict[str, Any]:
    fields = _fields(run)
    scores = fields.pop("scores")
    return fields | {f"score/{task}": value for task, value in scores.items()}


def _print_runs(found: list[RunSummary], folder: Path) -> None:
    """A table, then a line for everything that is not finished."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mgm.experiments.pretraining import footnotes, marked

    caption = [
        "test set; of unfinished runs the best so far on the validation set",
        *footnotes(run.pretrained for run in found),
    ]
    table = Table(caption=escape("\n".join(caption)), caption_justify="left")
    for title in ("run", "state", "what", "scores", "gain", "time"):
        table.add_column(title, overflow="fold", justify="right" if title in ("gain", "time") else "left")
    for run in found:
        gain = "" if run.gain is None else f"{100 * run.gain:+.1f} %"
        name = marked(_below(folder, run.path), run.pretrained)
        texts = (name, run.state, _what(run), _figures(run), gain, _duration(run.seconds))
        table.add_row(*map(escape, texts))
    console = Console()
    console.print(table)
    for run in found:
        if run.detail:
            console.print(f"{run.path}: {run.state}, {run.detail}", soft_wrap=True, highlight=False, markup=False)


def _below(folder: Path, path: str) -> str:
    return str(Path(path).relative_to(folder)) if Path(path) != folder else path


def _what(run: RunSummary) -> str:
    labelled = "" if run.labelled is None else f", {run.labelled} labelled"
    return f"{run.recipe} on {run.data}{labelled}, seed {run.seed}" if run.recipe else ""


def _figures(run: RunSummary) -> str:
    from mgm.experiments.progress import with_unit

    known = {task: value for task, value in run.scores.items() if value is not None}
    return ", ".join(f"{task} {with_unit(value, run.metrics[task])}" for task, value in known.items())


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@dataclass(frozen=True)
class CompareOptions:
    """Finished runs side by side on the test set; with several seeds of the same settings, paired statistics.

    Example: mgm compare runs/mgm-s0 runs/mt-s0 --out compared.png
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the runs; the first is what the others are held against."""
    out: Path | None = None
    """Picture to draw: what each predicts for the same test images."""
    json: bool = False
    """Print JSON instead of a table."""


def compare(arguments: list[str]) -> None:
    """``mgm compare``."""
    options = parse(CompareOptions, "compare", arguments)
    if len(options.runs) < 2:
        raise ConfigError("nothing to compare; give two runs or more: mgm compare RUN RUN")
    if options.out and options.out.suffix.lower() != ".png":
        raise ConfigError(f"--out is {options.out}; the picture is a PNG, so let it end in .png")
    from mgm.experiments.side_by_side import differences, group, leagues, mean_scores, read_finished, statistics

    groups = group([read_finished(path) for path in options.runs])
    tasks = _tasks(groups)
    lines = differences(groups)
    for line in lines:
        print(f"mgm: warning: {line}", file=sys.stderr)
    scores = {title: mean_scores(runs) for title, runs in groups.items()}
    text = "" if lines else statistics(groups, tasks)
    apart = leagues(groups)
    pretrained = {title: runs[0].pretrained for title, runs in groups.items() if runs[0].pretrained}
    if options.json:
        from mgm.training.journal import plain

        folders = {title: [str(run.folder.path) for run in runs] for title, runs in groups.items()}
        values = {"runs": folders, "test": scores, "warnings": lines, "statistics": text}
        values |= {"pretrained": pretrained, "leagues": apart}
        print(json.dumps(plain(values), indent=2))
    else:
        from rich.console import Console

        from mgm.report.tables import comparison_table

        console = Console()
        first = next(iter(scores)) if len(scores) > 1 else ""
        console.print(comparison_table(scores, tasks, baseline=first, pretrained=pretrained))
        if any(len(runs) > 1 for runs in groups.values()):
            console.print(_spreads(groups, tasks))
        print(text or "one seed, or runs that cannot be paired: differences of a few per cent are within its noise")
        if apart:
            print(apart)
    if options.out:
        _draw(groups, options.out)
        print(options.out, file=sys.stderr if options.json else sys.stdout)


def _tasks(groups: dict[str, list[FinishedRun]]) -> dict[str, Task]:
    """All tasks of the runs, for the names of their metrics; which classes there are does not matter here."""
    from mgm.tasks import make_tasks

    first = next(iter(groups.values()))[0]
    names = tuple(dict.fromkeys(task for runs in groups.values() for run in runs for task in run.scores))
    return make_tasks(names, first.folder.info().classes or ("any",))


def _spreads(groups: dict[str, list[FinishedRun]], tasks: dict[str, Task]) -> Table:
    """Mean and standard deviation over seeds of each task's primary metric."""
    from rich.markup import escape
    from rich.table import Table

    from mgm.experiments.pretraining import marked
    from mgm.experiments.side_by_side import value_of
    from mgm.functional.statistics import spread

    table = Table(caption="mean ± standard deviation over seeds", caption_justify="left")
    for title in ("runs", "seeds", *tasks):
        table.add_column(title)
    for title, runs in groups.items():
        cells = []
        for name, task in tasks.items():
            found = spread([value_of(run, name, task.primary) for run in runs])
            cells.append(f"{found.mean:.3f} ± {found.std:.3f}")
        table.add_row(escape(marked(title, runs[0].pretrained)), str(len(runs)), *cells)
    return table


def _draw(groups: dict[str, list[FinishedRun]], path: Path) -> None:
    """What the first seed of each group predicts for the same test images."""
    from mgm.report.comparison import compare as predict
    from mgm.report.files import make_folder
    from mgm.report.predictions import prediction_sheet

    try:
        shown = predict({title: runs[0].folder for title, runs in groups.items()})
    except RunError as error:
        raise RunError(f"no picture: {error}") from None
    make_folder(path.parent)
    prediction_sheet(path, shown.images, shown.targets, shown.predictions, shown.tasks, names=shown.names)
