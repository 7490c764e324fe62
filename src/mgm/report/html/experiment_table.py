"""The results of an experiment as text, with the paper's values in separate columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from mgm.experiments.study_records import Cell, MetricColumn, ModelRow, ResultTable
from mgm.report.tables import UNKNOWN, metric_number
from mgm.runs.pretraining import marked
from mgm.tasks import MetricInfo


@dataclass(frozen=True)
class CellText:
    """Texts of a cell; a dash if we have no value."""

    mean: str
    std: str
    """Empty for one seed."""
    best: bool
    """Whether it is the best mean among our values of its setting."""
    values: str
    """The values of all seeds."""
    paper: str
    """The paper's value; empty if there is none."""


@dataclass(frozen=True)
class TableSection:
    """The formatted table; sentences and notes are in ``source``."""

    source: ResultTable
    columns: list[tuple[str, str, bool]]
    """Task, metric with unit and direction, and whether the paper has values for it."""
    groups: list[tuple[str, list[tuple[ModelRow, str, list[CellText]]]]]
    """Setting -> row, its title (marked if the encoder was pre-trained), its cells."""

    @property
    def tasks(self) -> list[tuple[str, int]]:
        """Title of a task -> number of table columns that it takes, those of the paper's values included."""
        by_task = groupby(self.columns, lambda column: column[0])
        return [(task, sum(1 + paper for _, _, paper in columns)) for task, columns in by_task]


def table_section(table: ResultTable) -> TableSection:
    """Format the table; the paper's values are not considered for the best mean."""
    infos = [MetricInfo(column.title, column.higher_is_better, column.unit) for column in table.columns]
    columns = [
        (
            column.task_title or column.task,
            info.heading,
            any(_cell(row, column).paper is not None for row in table.rows),
        )
        for column, info in zip(table.columns, infos, strict=True)
    ]
    groups: list[tuple[str, list[tuple[ModelRow, str, list[CellText]]]]] = []
    for setting, group in groupby(table.rows, lambda row: row.setting):
        rows = list(group)
        texts = [
            [_text(row, rows, column, info) for column, info in zip(table.columns, infos, strict=True)] for row in rows
        ]
        titles = [marked(row.model, row.pretrained) for row in rows]
        groups.append((setting, list(zip(rows, titles, texts, strict=True))))
    return TableSection(table, columns, groups)


def _cell(row: ModelRow, column: MetricColumn) -> Cell:
    return row.values.get(column.key, Cell())


def _text(row: ModelRow, rivals: list[ModelRow], column: MetricColumn, info: MetricInfo) -> CellText:
    def number(value: float | None) -> str:
        return UNKNOWN if value is None else metric_number(value, info)

    cell = _cell(row, column)
    paper = "" if cell.paper is None else number(cell.paper)
    if cell.mean is None or not math.isfinite(cell.mean):
        return CellText(UNKNOWN, "", False, "", paper)
    means = [mean for rival in rivals if (mean := _cell(rival, column).mean) is not None and math.isfinite(mean)]
    best = len(means) > 1 and cell.mean == (max if info.higher_is_better else min)(means)
    spread = "" if cell.std is None or not math.isfinite(cell.std) else number(cell.std)
    return CellText(number(cell.mean), spread, best, ", ".join(map(number, cell.values)), paper)
