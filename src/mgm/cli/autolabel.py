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
"""How many of the least confident images to print."""


@dataclass(frozen=True)
class AutolabelOptions:
    """Label photographs with a trained network, as a data folder to correct by hand and to train on.

    Photographs are copied. After an interruption, the same command continues where it stopped.

    Example: mgm autolabel runs/first holiday --out labelled --confidence 0.6
    """

    run: tyro.conf.Positional[Path]
    """Folder of a run or of an exported model."""
    folder: tyro.conf.Positional[Path]
    """Folder of photographs, searched recursively; of a data folder, those in its rgb/ are used."""
    out: Path
    """Data folder to write, to be given as --data."""
    confidence: float = 0.0
    """Minimum confidence of a pixel, 0 to 1; pixels below it stay unlabelled. Confidence is the probability of the class, or for
    other tasks the agreement with the prediction for the mirrored photograph."""
    skip_bad: bool = False
    """Skip unreadable photographs and list them at the end; by default, one of them stops the command before it writes anything."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def autolabel(arguments: list[str]) -> None:
    """``mgm autolabel``."""
    options = parse(AutolabelOptions, "autolabel", arguments)
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mgm.inference import autolabel as inference
    from mgm.runs.listing import unfinished

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
    if note := unfinished(options.run):
        print(f"mgm: note: {note}", file=sys.stderr)
    if done.failed:
        bad = [message for _, message in done.failed]
        print(f"left out {len(bad)} of {len(bad) + len(done.images)}:", *bad, sep="\n  ", file=sys.stderr)
    table = Table("labels", "pixels labelled", "mean confidence")
    for name, task in done.tasks.items():
        total = done.total(name)
        table.add_row(escape(task.title), f"{100 * total.labelled:.1f} %", f"{total.confidence:.2f}")
    Console().print(table)
    print(f"least confident, to check first (all: confidence.csv): {', '.join(list(done.images)[:LEAST_SURE])}")
    print(f"{options.out}: {len(done.images)} images labelled; next: mgm data inspect {options.out}")
