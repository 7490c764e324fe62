"""The metrics log ``metrics.jsonl``: one line per logged step or evaluation, truncated to the checkpoint when a run resumes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Required

from pydantic import ValidationError
from typing_extensions import TypedDict

from mgm.data.files import read_bounded, schema
from mgm.errors import RunError, first_problem
from mgm.types import is_mapping, is_sequence


class Record(TypedDict, total=False):
    """A line of the metrics log."""

    stage: Required[str]
    step: Required[int]
    """Steps done in the stage."""
    losses: dict[str, float | None]
    """Update -> mean loss since the previous line."""
    gradients: dict[str, Any]
    """Norms and cosines of the updates' gradients (`mgm.training.gradients.GradientShares`)."""
    stopped: int
    """The stage ended early, after this many validations without a better score."""
    validation: dict[str, dict[str, float | None]]
    """Task -> metric -> value."""
    score: float | None
    """Validation score that selects the best model."""


def plain(value: Any) -> Any:
    """Replace NaN and infinity by None, at any depth, because JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_mapping(value):
        return {key: plain(item) for key, item in value.items()}
    if is_sequence(value):
        return [plain(item) for item in value]
    return value


class MetricsLog:
    """Appends records to a file.

    Args:
        path: The file; None: discard all records (processes other than the first).
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, **record: Any) -> None:
        """Append a record and close the file, so that a crash of the process loses nothing.

        Raises:
            RunError: If the file cannot be written.
        """
        if not self.path:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain(record)) + "\n")
        except OSError as error:
            raise RunError(
                f"cannot write {self.path} ({error.strerror}); make room, then continue with --resume"
            ) from error

    @property
    def size(self) -> int:
        """Size of the file in bytes; a checkpoint stores it for `cut`."""
        return self.path.stat().st_size if self.path and self.path.exists() else 0

    def cut(self, size: int) -> None:
        """Truncate the file to ``size`` bytes; a resumed run writes the rest again."""
        if self.path and self.path.exists() and self.size > size:
            os.truncate(self.path, size)


def read_metrics_log(path: Path) -> Iterator[Record]:
    """Yield the records of a metrics log; a missing file has none, and an incomplete last line of a killed run is skipped.

    Raises:
        RunError: If the file cannot be read or another line is not a record.
    """
    try:
        lines = read_bounded(path).splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); restore it or train again") from None
    for number, line in enumerate(lines, 1):
        try:
            yield schema(Record).validate_json(line)
        except ValidationError as error:
            if number == len(lines) and error.errors()[0]["type"] == "json_invalid":
                return
            raise RunError(
                f"{path}, line {number}: no record ({first_problem(error)}); restore the file or train again"
            ) from None
