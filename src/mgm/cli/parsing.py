"""Options of a verb: a dataclass whose fields are the flags and whose docstrings are their help."""

from __future__ import annotations

import os
from typing import TypeVar

import tyro

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
