"""Errors that users can meet. Each says what is wrong, where, and what to do; the command line prints it and exits with 2."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pydantic import ValidationError

Value = TypeVar("Value")

ENDING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end: Ctrl-C, a scheduler, a terminal that is closed."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work.

    Args:
        number: Of the signal.
        message: What is kept, and how to go on.
    """

    def __init__(self, number: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.number = number


class MgmError(Exception):
    """Base of every error that a user can cause and fix."""


class ConfigError(MgmError):
    """A setting that does not exist, does not fit another one, or lies outside its range."""


class DataError(MgmError):
    """A data set, folder or file that is missing, unreadable or contradicts itself."""


class RunError(MgmError):
    """A run folder that is missing, incomplete, damaged, or already in use."""


class TrainingDivergedError(MgmError):
    """A loss became NaN, infinite or exploded; the last good checkpoint is kept."""


def choose(kind: str, name: str, choices: dict[str, Value]) -> Value:
    """Look up ``name`` in a registry.

    Args:
        kind: What the registry holds, for the message: ``"task"``, ``"recipe"``.
        name: The name a user gave.
        choices: The registry.

    Raises:
        ConfigError: If there is no such name; the message lists the choices and the nearest one.
    """
    if name in choices:
        return choices[name]
    raise ConfigError(unknown(kind, name, choices))


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """The message for an unknown name: the nearest choice, then all of them."""
    names = sorted(choices)
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Choices: {', '.join(names)}"


def first_problem(error: ValidationError) -> str:
    """The first problem that pydantic found, as ``place: what (got value)``; a long value is cut."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}{': ' if place else ''}{first['msg']} (got {repr(first['input'])[:80]})"
