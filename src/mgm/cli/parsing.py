"""Parsing the options of a verb (a dataclass whose field docstrings are the help), and what verbs share on resuming runs."""

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
    """Parse the options of a verb; an unknown option prints similar ones and exits with code 2."""
    options = tyro.cli(
        kind,
        prog=f"mgm {verb}",
        args=arguments,
        default=default,
        config=(tyro.conf.OmitArgPrefixes,),
        console_outputs=os.environ.get("RANK", "0") == "0",  # only one of several processes prints the error
    )
    assert isinstance(options, kind)
    return options


AsTheRun = Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: as the run's settings say)")]
"""A flag whose default is the run's own setting; see `unless_given`."""


def unless_given(arguments: Sequence[str], switch: str, value: bool) -> bool | None:
    """The value of a flag such as ``flip-average`` if it is on the command line, with or without ``no-``; otherwise None."""
    names = {f"--{switch}", f"--no-{switch}"}
    return value if names & {argument.replace("_", "-") for argument in arguments} else None


def check_png(out: Path) -> None:
    """Raise `ConfigError` unless the file has the suffix of a PNG."""
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out is {out}; the picture is a PNG, so let it end in .png")


def check_resumes_alone(arguments: Sequence[str]) -> None:
    """Raise `ConfigError` if there is any argument besides ``--resume DIR``."""
    if len(arguments) > (1 if arguments[0].startswith("--resume=") else 2):
        raise ConfigError("--resume goes on with the run's own settings; leave out every other option")


@contextmanager
def says_how_to_go_on(verb: str, out: Path) -> Generator[None]:
    """If a signal interrupts the run, end with a message that names the command to continue it."""
    from mgm.runs.folder import RunFolder

    try:
        yield
    except KeyboardInterrupt as stop:
        if not RunFolder(out).exists:
            raise
        number = getattr(stop, "number", signal.SIGINT)
        text = f"{stop or 'stopped'}; it goes on from there with: mgm {verb} --resume {out}"
        raise Interrupted(number, text) from None
