"""Safe standard output and error: any file name in any encoding, no foreign escape sequences, one message per error."""

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
    """The message with control characters escaped, since names of files may contain them."""
    return _CONTROL.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


class PlainOutput:
    """A text stream that escapes control characters; on a terminal, colours and cursor movements (progress bars) pass."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._foreign = _FOREIGN if stream.isatty() or "FORCE_COLOR" in os.environ else _CONTROL

    def write(self, text: str) -> int:
        """Write text with control characters escaped; returns its length."""
        self._stream.write(self._foreign.sub(_written_out, text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def tolerate_any_name() -> None:
    """Make the standard streams accept file names that are not valid text, and characters missing in their encoding."""
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=errors)


def reports(message: str) -> bool:
    """Whether this process reports an error: of several processes started by torchrun, only the first to meet it does."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    with suppress(Exception):  # without torchrun's store, every process reports
        from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return TCPStore(*place, timeout=timedelta(seconds=5)).add(f"mgm/{message}", 1) == 1
    return True
