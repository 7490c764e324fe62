"""The figure of a study: seeds, means and standard deviations of every metric, or curves; also predictions and generated images."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgm.experiments.plans import Trial
from mgm.experiments.statistics import spread
from mgm.experiments.tables import Column, Line, Table
from mgm.report.figures.paper import draw_comparison, draw_generation, in_every_format
from mgm.report.figures.style import figure_style, new_figure, save_figure
from mgm.runs.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_WIDTH, ROW_HEIGHT = 3.2, 0.26
"""In inches."""
MOST_ACROSS = 4
"""Largest number of panels in a row."""
EMPHASISED = {"MGM", "EML"}
"""Titles of the rows drawn in colour; all others are grey."""


def draw(table: Table, folder: Callable[[Trial], RunFolder], out: Path) -> list[Path]:
    """Write the study's figure as PNG and PDF.

    Args:
        table: The results.
        folder: Maps a trial to its folder.
        out: Path without suffix.

    Returns:
        The files; empty if there are no results yet.
    """
    if not any(line.count for line in table.models):
        return []
    figure = _curves(table) if table.plan.study.figure == "curve" else _dots(table)
    written = in_every_format(out, lambda path: save_figure(figure, path))
    if table.plan.study.figure == "predictions":
        return written + _predictions(table, folder, out)
    if table.plan.study.figure == "generated":
        return written + _generated(table, folder, out)
    return written


def _title(figure: Figure, table: Table) -> None:
    """Add the study's title, wrapped to the width of the figure."""
    title = f"{table.plan.study.paper}: {table.plan.study.title}"
    figure.suptitle(textwrap.fill(title, int(12 * figure.get_figwidth())), fontsize=10)


def _dots(table: Table) -> Figure:
    """One panel per metric, one line per setting and model: seeds as dots, mean and standard deviation as bar and line."""
    with figure_style():
        height = ROW_HEIGHT * (len(table.models) + len(table.plan.settings)) + 1.1
        figure, panels, firsts = _panels(table, 1.2, height, sharey=True)
        places = _places(table)
        for axes, column in zip(panels, table.columns, strict=True):
            for line, place in zip(table.models, places, strict=True):
                _dots_of(axes, line, column, place)
            axes.set_title(f"{column.kind.title}\n{column.title}")
            axes.grid(axis="y", visible=False)
            axes.locator_params(axis="x", nbins=5)
        panels[0].set_yticks(places, [line.row.title for line in table.models])
        panels[0].set_ylim(max(places) + 0.7, min(places) - 1.2)
        for axes in firsts:
            for setting, place in _first_places(table, places).items():
                across = axes.get_yaxis_transform()
                axes.text(-0.02, place - 0.75, setting, transform=across, ha="right", weight="bold")
        _title(figure, table)
    return figure


def _panels(
    table: Table, margin: float, height: float, *, sharey: bool = False
) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure with a panel per metric: the figure, its panels row by row, and the first panel of every row.

    Args:
        table: The results.
        margin: Width in inches in addition to the panels.
        height: Height of a row in inches.
        sharey: Whether all panels have the same vertical axis.
    """
    count = len(table.columns)
    rows = -(-count // MOST_ACROSS)
    across = -(-count // rows)
    figure = new_figure(PANEL_WIDTH * across + margin, height * rows)
    grid = figure.subplots(rows, across, squeeze=False, sharey=sharey)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count]), list(grid[:, 0])


def _places(table: Table) -> list[float]:
    """Vertical position of every line, with a gap before each setting."""
    order = list(dict.fromkeys(line.setting for line in table.models))
    return [number + 0.9 * order.index(line.setting) for number, line in enumerate(table.models)]


def _first_places(table: Table, places: list[float]) -> dict[str, float]:
    first: dict[str, float] = {}
    for line, place in zip(table.models, places, strict=True):
        first.setdefault(line.setting, place)
    return first


def _dots_of(axes: Axes, line: Line, column: Column, place: float) -> None:
    values = line.values[column.key].values
    known = spread(values)
    if not known.count:
        return
    colour = "C0" if line.row.title in EMPHASISED else "#555b63"
    axes.plot(values, [place] * len(values), "o", color=colour, alpha=0.45, markersize=4, markeredgewidth=0)
    axes.plot([known.mean], [place], "|", color=colour, markersize=12, markeredgewidth=2)
    if known.count > 1:
        axes.plot([known.mean - known.std, known.mean + known.std], [place, place], color=colour, linewidth=1.2)


def _curves(table: Table) -> Figure:
    """One panel per metric, one curve per model over the settings, with a band of one standard deviation."""
    with figure_style():
        figure, panels, _ = _panels(table, 0.8, 3.6)
        for axes, column in zip(panels, table.columns, strict=True):
            for number, row in enumerate(table.plan.rows):
                _curve_of(axes, [line for line in table.models if line.row == row], column, f"C{number}", table)
            axes.set_title(f"{column.kind.title}\n{column.title}")
            axes.set_xticks(range(len(table.plan.settings)), table.plan.settings)
            axes.tick_params(axis="x", labelrotation=30 if len(table.plan.settings) > 5 else 0)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(table.plan.rows))
        _title(figure, table)
    return figure


def _curve_of(axes: Axes, lines: list[Line], column: Column, colour: str, table: Table) -> None:
    spreads = [spread(line.values[column.key].values) for line in lines]
    places = [table.plan.settings.index(line.setting) for line in lines]
    mean = np.array([one.mean for one in spreads])
    deviation = np.nan_to_num([one.std for one in spreads])
    axes.plot(places, mean, marker="o", markersize=4, color=colour, label=lines[0].row.title)
    axes.fill_between(places, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)


def finished_of_seed(table: Table, folder: Callable[[Trial], RunFolder]) -> dict[str, RunFolder]:
    """Title -> finished run, in the first setting and for the seed with the most finished models."""
    setting = table.plan.settings[0]
    by_seed: dict[int, dict[str, RunFolder]] = {seed: {} for seed in table.plan.seeds}
    for cell in table.plan.cells:
        run = folder(cell.trial)
        if cell.setting == setting and run.finished:
            by_seed[cell.seed][cell.row.title] = run
    return max(by_seed.values(), key=len)


def _predictions(table: Table, folder: Callable[[Trial], RunFolder], out: Path) -> list[Path]:
    """Figures 4 and 6: predictions of the paper's models for the same images."""
    in_paper = {row.title for row in table.plan.rows if row.in_paper}
    runs = {title: run for title, run in finished_of_seed(table, folder).items() if title in in_paper}
    return draw_comparison(runs, out.with_name("predictions")) if runs else []


def _generated(table: Table, folder: Callable[[Trial], RunFolder], out: Path) -> list[Path]:
    """Figures 7 and 8: generated images of the MGM run, and annotated ones of the run with an annotator."""
    written: list[Path] = []
    for title, run in finished_of_seed(table, folder).items():
        if title in ("MGM", "ST_G"):
            written += draw_generation(run, out.with_name(f"generated_{title}"))
    return written
