"""The metrics log as a table (``metrics.csv``), and a record of why a training failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from mgm.data.files import write_text
from mgm.functional.distributed import rank
from mgm.runs.folder import RunFolder, write_json
from mgm.training.metrics_log import Record, read_metrics_log


@contextmanager
def recorded(folder: RunFolder) -> Generator[None]:
    """Context of a training: records why it failed, unless a user stopped it, and writes the metrics log as a table."""
    if rank() > 0:
        yield
        return
    folder.failure.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        write_json(folder.failure, {"error": type(error).__name__, "reason": str(error)})
        raise
    finally:
        write_history(folder)


def write_history(folder: RunFolder) -> None:
    """``metrics.csv``: a row per record of the metrics log, a column per loss and per metric.

    Columns are called ``loss/UPDATE``, ``validation/TASK/METRIC`` and ``gradients/UPDATE/norm`` (``cosine``,
    ``ratio``); cells without a value are empty.
    """
    rows = [flat_record(record) for record in read_metrics_log(folder.metrics_log)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if rows:
        write_text(folder.history, text.getvalue())


def flat_record(record: Record) -> dict[str, Any]:
    """A record of the metrics log in one level."""
    losses = {f"loss/{name}": value for name, value in record.get("losses", {}).items()}
    nested = {
        f"{kind}/{name}/{figure}": value
        for kind in ("validation", "gradients")
        for name, figures in record.get(kind, {}).items()
        for figure, value in figures.items()
    }
    rest = {key: value for key, value in record.items() if key not in ("losses", "validation", "gradients")}
    return {**rest, **losses, **nested}
