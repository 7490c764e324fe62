"""Names that others chose, as names of files and folders of our own."""

from __future__ import annotations

import re

LONGEST = 48
"""Characters: with four bytes each and what is put before and behind, less than the 255 bytes that file systems allow."""
_UNUSUAL = re.compile(r"[^\w.-]+")


def as_file_name(name: str, otherwise: str = "unnamed") -> str:
    """A name as one part of a path: letters of any script, digits, ``-``, ``_``, ``.``; not hidden, at most `LONGEST` characters.

    Everything else, ``/`` and NUL among it, becomes ``-``. Different names may become the same: where that matters, something that
    tells them apart has to be added.

    Args:
        name: What a stranger's file says.
        otherwise: What to take where nothing is left.
    """
    plain = _UNUSUAL.sub("-", name.encode(errors="replace").decode()).lstrip(".-")[:LONGEST]
    return plain.rstrip(".-") or otherwise
