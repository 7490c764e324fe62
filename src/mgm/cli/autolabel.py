"""``mgm autolabel``."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from mgm.cli.parsing import parse
from mgm.errors import Interrupted

LEAST_SURE = 5
"""Images that are named as those to look at first."""


@dataclass(frozen=True)
class AutolabelOptions:
    """Label photographs by a trained network, as a folder that people can correct and networks train on.

    Photographs are copied. A call that was stopped goes on where it was if it is made again.

    Example: mgm autolabel runs/first holiday --out labelled --confidence 0.6
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run or of an exported model."""
    folder: tyro.conf.Positional[Path]
    """Photographs, with all below it; of a data folder those in its rgb/."""
    out: Path
    """Folder to make, for --data."""
    confidence: float = 0.0
    """Leave pixels without a label where the network is less sure, 0 to 1: probability of the class, or agreement with the
    prediction for the mirrored photograph."""
    skip_bad: bool = False
    """Leave out photographs that cannot be read, and list them at the end; else nothing is written if there is one."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def autolabel(arguments: list[str]) -> None:
    """``mgm autolabel``."""
    options = parse(AutolabelOptions, "autolabel", arguments)
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mgm.inference import autolabel as inference

    try:
        done = inference.autolabel(
            options.run,
            options.folder,
            options.out,
            confidence=options.confidence,
            skip_bad=options.skip_bad,
            device=options.device,
        )
    except KeyboardInterrupt as stop:
        number = getattr(stop, "number", signal.SIGINT)
        raise Interrupted(number, f"{stop or 'stopped'}; the same command goes on from there") from None
    if done.failed:
        bad = [message for _, message in done.failed]
        print(f"left out {len(bad)} of {len(bad) + len(done.images)}:", *bad, sep="\n  ", file=sys.stderr)
    table = Table("labels", "pixels labelled", "mean confidence")
    for name, task in done.tasks.items():
        total = done.total(name)
        table.add_row(escape(task.title), f"{100 * total.labelled:.1f} %", f"{total.confidence:.2f}")
    Console().print(table)
    print(f"least sure, to look at first (all: confidence.csv): {', '.join(list(done.images)[:LEAST_SURE])}")
    print(f"{options.out}: {len(done.images)} images labelled; next: mgm data inspect {options.out}")
