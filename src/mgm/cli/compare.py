"""``mgm compare``: finished runs side by side."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from mgm.cli.parsing import parse
from mgm.errors import ConfigError, RunError

if TYPE_CHECKING:
    from rich.table import Table

    from mgm.experiments.finished_runs import FinishedRun
    from mgm.tasks.base import Task


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
    from mgm.experiments.finished_runs import differences, group, leagues, mean_scores, read_finished, statistics

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
        from mgm.training.metrics_log import plain

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

    from mgm.experiments.finished_runs import value_of
    from mgm.experiments.statistics import spread
    from mgm.runs.pretraining import marked

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
    from mgm.report.figures.predictions import prediction_figure

    try:
        shown = predict({title: runs[0].folder for title, runs in groups.items()})
    except RunError as error:
        raise RunError(f"no picture: {error}") from None
    prediction_figure(path, shown)
