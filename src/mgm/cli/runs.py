"""``mgm runs``."""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mgm.cli.parsing import parse
from mgm.errors import ConfigError

if TYPE_CHECKING:
    from mgm.runs.listing import RunSummary

FILE_WIDTH = 160
"""Columns of the table in a file or a pipe, which has no width of its own."""


@dataclass(frozen=True)
class RunsOptions:
    """List the runs below a folder with their state and key figures.

    Example: mgm runs runs --csv > runs.csv
    """

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Folder to search for runs."""
    json: bool = False
    """Print JSON instead of a table."""
    csv: bool = False
    """Print CSV instead of a table."""


def runs(arguments: list[str]) -> None:
    """``mgm runs``."""
    options = parse(RunsOptions, "runs", arguments)
    if options.json and options.csv:
        raise ConfigError("--json and --csv exclude each other")
    from mgm.runs.listing import find_runs, summarise

    found = [summarise(path) for path in find_runs(options.folder)]
    if options.json:
        from mgm.training.metrics_log import plain

        print(json.dumps([plain(run.to_dict()) for run in found], indent=2))
    elif options.csv:
        rows = [run.to_row() for run in found]
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["path", "state"]
        writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif not found:
        print(f"no runs in {options.folder}; they are made by: mgm train --out {options.folder}/NAME")
    else:
        _print_runs(found, options.folder)


def _print_runs(found: list[RunSummary], folder: Path) -> None:
    """Print a table, then a line for each run with something to report (`RunSummary.detail`), such as an unfinished one."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mgm.runs.pretraining import footnotes, marked
    from mgm.tasks.metrics import percent

    scored = [(task, info) for run in found for task, info in run.metrics.items() if task in run.scores]
    primary = dict.fromkeys(f"{task} {info.title}" for task, info in scored)
    caption = [
        f"{', '.join(primary) or 'scores'}: test set; of unfinished runs the best so far on the validation set; "
        "time: training of the model, including stages that it shares with other runs, without its baseline",
        *footnotes(run.pretrained for run in found),
    ]
    table = Table(caption=escape("\n".join(caption)), caption_justify="left")
    for title in ("run", "state", "what", "scores", "gain", "time"):
        right, short = title in ("gain", "time"), title in ("state", "scores", "gain", "time")
        table.add_column(title, overflow="fold", justify="right" if right else "left", no_wrap=short)
    for run in found:
        gain = "" if run.gain is None else percent(run.gain)
        name = marked(run.path if Path(run.path) == folder else str(Path(run.path).relative_to(folder)), run.pretrained)
        texts = (name, run.state, _what(run), "\n".join(_figures(run)), gain, _time(run.seconds))
        table.add_row(*map(escape, texts))
    console = Console()
    if not (console.is_terminal or os.environ.get("COLUMNS")):  # in a file or pipe, names should be in one piece
        console.width = FILE_WIDTH
    console.print(table)
    for run in found:
        if run.detail:
            console.print(f"{run.path}: {run.state}, {run.detail}", soft_wrap=True, highlight=False, markup=False)


def _what(run: RunSummary) -> str:
    labelled = "" if run.labelled is None else f", {run.labelled} labelled"
    return f"{run.recipe} on {run.data}{labelled}, seed {run.seed}" if run.recipe else ""


def _figures(run: RunSummary) -> list[str]:
    return [f"{task} {run.metrics[task].text(value)}" for task, value in run.scores.items()]


def _time(seconds: float | None) -> str:
    whole = round(seconds or 0)
    return "" if seconds is None else f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
