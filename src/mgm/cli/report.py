"""``mgm report``: an HTML page about a run or an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import parse


@dataclass(frozen=True)
class ReportOptions:
    """Write one HTML page about a run or an experiment, finished or not: tables, curves, pictures, cost, command.

    Predictions are computed on the CPU from the checkpoints. The page is self-contained: it needs no network and no other file.

    Example: mgm report runs/first --out first.html
    """

    folder: tyro.conf.Positional[Path]
    """Folder of a run or of an experiment."""
    out: Path | None = None
    """File to write; default: report.html in the folder."""


def report(arguments: list[str]) -> None:
    """``mgm report``."""
    options = parse(ReportOptions, "report", arguments)
    from mgm.report.html.page import write_report

    print(write_report(options.folder, options.out))
