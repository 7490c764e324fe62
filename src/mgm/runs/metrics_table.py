"""The metrics log as a table (``metrics.csv``), and the record of a failed training."""

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
    """Context of a training: records an error (not an interruption) in ``failure.json``, and always writes ``metrics.csv``."""
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
    """Write ``metrics.csv``, with a row per record of the metrics log and a column per loss and metric.

    Columns are named ``loss/UPDATE``, ``validation/TASK/METRIC`` and ``gradients/UPDATE/norm`` (``cosine``, ``ratio``); missing
    values are empty cells.
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
    """Flatten a record of the metrics log."""
    losses = {f"loss/{name}": value for name, value in record.get("losses", {}).items()}
    nested = {
        f"{kind}/{name}/{figure}": value
        for kind in ("validation", "gradients")
        for name, figures in record.get(kind, {}).items()
        for figure, value in figures.items()
    }
    rest = {key: value for key, value in record.items() if key not in ("losses", "validation", "gradients")}
    return {**rest, **losses, **nested}
