"""``mgm compare``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mgm.cli.parsing import check_png, parse
from mgm.errors import ConfigError, RunError

if TYPE_CHECKING:
    from mgm.experiments.finished_runs import RunComparison


@dataclass(frozen=True)
class CompareOptions:
    """Compare finished runs on the test set, with paired statistics if there are several seeds of the same settings.

    Example: mgm compare runs/mgm-s0 runs/mt-s0 --out compared.png
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the runs; the others are compared with the first."""
    out: Path | None = None
    """PNG file for a figure of all runs' predictions for the same test images."""
    json: bool = False
    """Print JSON instead of a table."""


def compare(arguments: list[str]) -> None:
    """``mgm compare``."""
    options = parse(CompareOptions, "compare", arguments)
    if len(options.runs) < 2:
        raise ConfigError("nothing to compare; give two runs or more: mgm compare RUN RUN")
    if options.out:
        check_png(options.out)
    from mgm.experiments.finished_runs import compare_runs

    found = compare_runs(options.runs)
    for line in found.warnings:
        print(f"mgm: warning: {line}", file=sys.stderr)
    if options.json:
        from mgm.training.metrics_log import plain

        print(json.dumps(plain(found.to_dict()), indent=2))
    else:
        _print_tables(found)
    if options.out:
        _draw(found, options.out)
        print(options.out, file=sys.stderr if options.json else sys.stdout)


def _print_tables(found: RunComparison) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mgm.report.tables import score_table
    from mgm.runs.pretraining import marked
    from mgm.runs.settings import in_words

    console = Console()
    # one column of gains has no place for several runs
    first = next(iter(found.groups)) if len(found.groups) == 2 else None
    console.print(score_table(found.scores, found.tasks, baseline=first, pretrained=found.pretrained).terminal())
    if any(len(runs) > 1 for runs in found.groups.values()):
        table = Table(caption="mean ± standard deviation over seeds", caption_justify="left")
        for title in ("runs", "seeds", *found.tasks):
            table.add_column(title)
        for title, runs in found.groups.items():
            spreads = found.spreads(title)
            cells = [spreads[name].text(task.metrics_info[task.primary]) for name, task in found.tasks.items()]
            table.add_row(escape(marked(title, runs[0].pretrained)), str(len(runs)), *cells)
        console.print(table)
    for title, runs in found.groups.items():
        folders = ", ".join(str(run.folder.path) for run in runs)
        settings = ", ".join(f"{name} {in_words(value)}" for name, value in found.settings[title].items())
        print(f"{title}: {folders}{f'; {settings}' if settings else ''}")
    print(
        found.statistics
        or ("differences are not tested: the warnings above say why" if found.warnings else "")
        or "not tested: there is one seed only, or the runs cannot be paired; a few per cent are within the variation between seeds"
    )
    if found.pretraining_note:
        print(found.pretraining_note)


def _draw(found: RunComparison, path: Path) -> None:
    """Draw the predictions of the first seed of each group for the same test images."""
    from mgm.report.comparison import compare as predict
    from mgm.report.figures.predictions import prediction_figure

    try:
        shown = predict({title: runs[0].folder for title, runs in found.groups.items()})
    except RunError as error:
        raise RunError(f"no picture: {error}") from None
    prediction_figure(path, shown)
