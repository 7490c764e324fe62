"""Errors for users. Messages state what is wrong, where, and how to fix it; the command line prints them and exits with code 2."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError

Value = TypeVar("Value")

ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end: from Ctrl-C, a scheduler, or a closed terminal."""


class Interrupted(KeyboardInterrupt):
    """Work was ended by a signal.

    Args:
        number: Number of the signal.
        message: What has been saved, and how to continue.
    """

    def __init__(self, number: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.number = number


class MgmError(Exception):
    """Base class of all errors that a user can cause and fix."""


class ConfigError(MgmError):
    """A setting is unknown, out of range, or contradicts another setting or the data."""


class DataError(MgmError):
    """A data set, folder or file is missing, unreadable or inconsistent."""


class RunError(MgmError):
    """A run folder is missing, incomplete, damaged, or already in use."""


class TrainingDivergedError(MgmError):
    """A loss became NaN or exploded; the last good checkpoint is kept."""


def choose(kind: str, name: str, choices: dict[str, Value]) -> Value:
    """Look up ``name`` in a registry.

    Args:
        kind: Kind of the registry's entries, for the message: ``"task"``, ``"recipe"``.
        name: Name given by the user.
        choices: The registry.

    Raises:
        ConfigError: If the name is unknown; the message lists the choices and the most similar one.
    """
    if name in choices:
        return choices[name]
    raise ConfigError(unknown(kind, name, choices))


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Error message for an unknown name, with the most similar choice and all choices."""
    names = sorted(choices)
    plain = {choice.casefold(): choice for choice in names}
    near = get_close_matches(name.casefold(), plain, n=1)
    hint = f" Did you mean {plain[near[0]]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Choices: {', '.join(names)}"


def reason_of(error: BaseException) -> str:
    """First line of an exception's text, or its type if it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def first_problem(error: ValidationError) -> str:
    """Format the first problem of a pydantic error as ``field: problem (got value)``; long values are truncated."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}{': ' if place else ''}{first['msg']} (got {repr(first['input'])[:80]})"
