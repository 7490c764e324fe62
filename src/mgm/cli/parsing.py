"""Options of a verb: a dataclass whose fields are the flags and whose docstrings are their help. How runs are continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from mgm.errors import ConfigError, Interrupted

Options = TypeVar("Options")


def parse(kind: type[Options], verb: str, arguments: list[str], default: Options | None = None) -> Options:
    """Options of a verb from its arguments; unknown ones are an error that lists the near ones (exit code 2)."""
    options = tyro.cli(
        kind,
        prog=f"mgm {verb}",
        args=arguments,
        default=default,
        config=(tyro.conf.OmitArgPrefixes,),
        console_outputs=os.environ.get("RANK", "0") == "0",  # of several processes one says what is wrong
    )
    assert isinstance(options, kind)
    return options


AsTheRun = Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: as the run's settings say)")]
"""A switch whose default is the run's own setting; see `unless_given`."""


def unless_given(arguments: Sequence[str], switch: str, value: bool) -> bool | None:
    """The value of a switch such as ``flip-average`` if the command line has it, with or without ``no-``; else None."""
    names = {f"--{switch}", f"--no-{switch}"}
    return value if names & {argument.replace("_", "-") for argument in arguments} else None


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
