"""What the verbs that train have in common: a run is continued by its own settings, and one that is stopped says how."""

from __future__ import annotations

import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mgm.errors import ConfigError, Interrupted


def check_resumes_alone(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` if anything stands beside ``--resume DIR``."""
    if len(arguments) > (1 if arguments[0].startswith("--resume=") else 2):
        raise ConfigError("--resume goes on with the run's own settings; leave out every other option")


@contextmanager
def says_how_to_go_on(verb: str, out: Path) -> Generator[None]:
    """Name the command that continues the run, if a signal ends it."""
    from mgm.runs.folder import RunFolder

    try:
        yield
    except KeyboardInterrupt as stop:
        if not RunFolder(out).exists:
            raise
        number = getattr(stop, "number", signal.SIGINT)
        text = f"{stop or 'stopped'}; it goes on from there with: mgm {verb} --resume {out}"
        raise Interrupted(number, text) from None
