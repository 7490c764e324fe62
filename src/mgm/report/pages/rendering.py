"""Templates, and sections that may be missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from mgm.errors import MgmError
from mgm.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

Content = TypeVar("Content")


@dataclass(frozen=True)
class Missing:
    """In place of a section's content: why there is none."""

    reason: str


def attempt(make: Callable[[], Content]) -> Content | Missing:
    """The content of a section, or why it cannot be made: data that are gone must not cost the rest of the page."""
    try:
        return make()
    except MgmError as error:
        return Missing(str(error))


def render(template: str, **context: Any) -> str:
    """A page from a template of this package.

    Whatever comes from files is escaped; a name that the template uses and the context lacks is an error.
    """
    return _environment().get_template(template).render(version=__version__, **context)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mgm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    environment.filters["duration"] = duration
    environment.filters["count"] = grouped
    environment.filters["counts"] = lambda counts: ", ".join(f"{name} {grouped(n)}" for name, n in counts.items())
    return environment


def grouped(number: int | None) -> str:
    """A count with its thousands set apart; unknown is a dash."""
    return "–" if number is None else f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float | None) -> str:
    """Seconds as people say them: ``37 s``, ``5 min 12 s``, ``2 h 5 min``; unknown is a dash."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
