"""``metrics.jsonl``: one line per logged step or evaluation, cut back to the checkpoint on resuming."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mgm.errors import RunError


def plain(value: Any) -> Any:
    """The value with NaN and infinity as None, because JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


class MetricsLog:
    """Appends records to a file; `size` marks a place to come back to.

    Args:
        path: The file; None keeps nothing (processes other than the first).
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, **record: Any) -> None:
        """Append one record and hand it to the operating system."""
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(record)) + "\n")

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path and self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Forget what was written after `size` bytes: a resumed run writes it again."""
        if self.path and self.path.exists() and self.size > size:
            os.truncate(self.path, size)


def read_metrics_log(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a metrics log.

    Raises:
        RunError: If a line is no record (a half-written last line of a run that was killed is skipped).
    """
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise RunError(
                    f"{path}, line {number}: no JSON record ({error}); restore the file or train again"
                ) from None
