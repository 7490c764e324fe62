"""The results of an experiment as text: our values, and in columns of their own the paper's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from mgm.experiments.study_records import Cell, MetricColumn, ModelRow, ResultTable
from mgm.report.tables import UNKNOWN, metric_number
from mgm.runs.pretraining import marked
from mgm.tasks import TASKS, MetricInfo


@dataclass(frozen=True)
class CellText:
    """A cell as it is shown."""

    mean: str
    std: str
    """Empty for one seed."""
    best: bool
    """Whether it is the best mean of its setting among our values."""
    values: str
    """The value of every seed."""


@dataclass(frozen=True)
class RowText:
    """A model."""

    model: str
    in_paper: bool
    count: str
    cells: list[CellText]
    paper: list[str]
    """The paper's value per column; empty without any in the column."""


@dataclass(frozen=True)
class TableSection:
    """The whole table."""

    columns: list[tuple[str, str, bool]]
    """Task, metric with unit and direction, and whether the paper has values for it."""
    groups: list[tuple[str, list[RowText]]]
    """Setting -> models."""
    sentences: list[str]
    notes: list[str]
    has_paper: bool


def table_section(table: ResultTable) -> TableSection:
    """Format the table; the paper's values take no part in anything."""
    with_paper = [any(_cell(row, column).paper is not None for row in table.rows) for column in table.columns]
    groups: list[tuple[str, list[RowText]]] = []
    for setting, group in groupby(table.rows, lambda row: row.setting):
        rows = list(group)
        best = [_best([_cell(row, column).mean for row in rows], column) for column in table.columns]
        groups.append((setting, [_row(row, table.columns, best) for row in rows]))
    columns = [
        (TASKS[column.task].title if column.task in TASKS else column.task, _info(column).heading, paper)
        for column, paper in zip(table.columns, with_paper, strict=True)
    ]
    return TableSection(columns, groups, table.sentences, table.notes, any(with_paper))


def _row(row: ModelRow, columns: list[MetricColumn], best: list[float | None]) -> RowText:
    cells = [_cell(row, column) for column in columns]
    return RowText(
        marked(row.model, row.pretrained),
        row.in_paper,
        UNKNOWN if row.count is None else str(row.count),
        [_text(cell, column, top) for cell, column, top in zip(cells, columns, best, strict=True)],
        [
            "" if cell.paper is None else _number(cell.paper, column)
            for cell, column in zip(cells, columns, strict=True)
        ],
    )


def _cell(row: ModelRow, column: MetricColumn) -> Cell:
    return row.values.get(column.key, Cell())


def _best(means: list[float | None], column: MetricColumn) -> float | None:
    known = [mean for mean in means if mean is not None and math.isfinite(mean)]
    return (max if column.higher_is_better else min)(known) if len(known) > 1 else None


def _text(cell: Cell, column: MetricColumn, best: float | None) -> CellText:
    if cell.mean is None or not math.isfinite(cell.mean):
        return CellText(UNKNOWN, "", False, "")
    spread = "" if cell.std is None or not math.isfinite(cell.std) else _number(cell.std, column)
    values = ", ".join(UNKNOWN if value is None else _number(value, column) for value in cell.values)
    return CellText(_number(cell.mean, column), spread, cell.mean == best, values)


def _number(value: float, column: MetricColumn) -> str:
    return metric_number(value, _info(column))


def _info(column: MetricColumn) -> MetricInfo:
    return MetricInfo(column.title, column.higher_is_better, column.unit)
