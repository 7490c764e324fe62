"""A progress bar on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, total: int, show: bool | None = None) -> Generator[Callable[[int], None]]:
    """Show a progress bar on standard error (None: if that is a terminal); yields a function that advances it by n steps."""
    if not (sys.stderr.isatty() if show is None else show):
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # redirect printed text above the bar on a terminal; output to a pipe or file must stay unchanged
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps: bar.advance(task, steps)
