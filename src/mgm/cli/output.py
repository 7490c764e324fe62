"""What reaches standard output and standard error: any name in any encoding, no escape sequences but our own, no repetitions."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from datetime import timedelta
from io import TextIOWrapper
from typing import TextIO

_COLOURS_AND_CURSOR = r"\x1b\[[0-9;?]*[A-Za-z]"
_FOREIGN = re.compile(rf"(?!{_COLOURS_AND_CURSOR})[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A message in which control characters, as names of files may hold, are written out."""
    return _CONTROL.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class PlainOutput:
    """A text stream that writes control characters out; colours, and on a terminal the cursor of progress bars, stay.

    Args:
        stream: Where it goes to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._foreign = _FOREIGN if stream.isatty() or "FORCE_COLOR" in os.environ else _CONTROL

    def write(self, text: str) -> int:
        """Write text; see the class."""
        self._stream.write(self._foreign.sub(_written_out, text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def tolerate_any_name() -> None:
    """Let names of files that are no text, and characters that an output does not have, pass through the standard streams."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


def reports(message: str) -> bool:
    """Whether this process reports an error: of several that torchrun has started, the first one that comes upon it."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    with suppress(Exception):  # without torchrun's store everybody reports
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(*place, timeout=timedelta(seconds=5)).add(f"mgm/{message}", 1) == 1
    return True
