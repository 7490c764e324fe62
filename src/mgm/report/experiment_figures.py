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
    """Write the study's figure as PNG and PDF, unless there are no results yet; returns the files.

    ``folder`` maps a trial to its folder, and ``out`` is the path without suffix.
    """
    if not any(line.count for line in table.models):
        return []
    kind = table.plan.study.figure
    with figure_style():
        figure = _curves(table) if kind == "curve" else _dots(table)
        title = f"{table.plan.study.paper}: {table.plan.study.title}"
        figure.suptitle(textwrap.fill(title, int(12 * figure.get_figwidth())), fontsize=10)
    written = in_every_format(out, lambda path: save_figure(figure, path))
    runs = _finished_of_seed(table, folder) if kind in ("predictions", "generated") else {}
    if kind == "predictions":  # Figures 4 and 6: the paper's models for the same images
        in_paper = {row.title for row in table.plan.rows if row.in_paper}
        if compared := {title: run for title, run in runs.items() if title in in_paper}:
            written += draw_comparison(compared, out.with_name("predictions"))
    if kind == "generated":  # Figures 7 and 8: images of the MGM run, and annotated ones of the run with an annotator
        for title in ("MGM", "ST_G"):
            if title in runs:
                written += draw_generation(runs[title], out.with_name(f"generated_{title}"))
    return written


def _finished_of_seed(table: Table, folder: Callable[[Trial], RunFolder]) -> dict[str, RunFolder]:
    """Title -> finished run, in the first setting and for the seed with the most finished models."""
    by_seed: dict[int, dict[str, RunFolder]] = {seed: {} for seed in table.plan.seeds}
    for cell in table.plan.cells:
        run = folder(cell.trial)
        if cell.setting == table.plan.settings[0] and run.finished:
            by_seed[cell.seed][cell.row.title] = run
    return max(by_seed.values(), key=len)


def _panels(table: Table, margin: float, height: float, *, sharey: bool = False) -> tuple[Figure, list[Axes], int]:
    """A figure with a panel per metric: the figure, its panels row by row, and the number of panels in a row."""
    count = len(table.columns)
    rows = -(-count // MOST_ACROSS)
    across = -(-count // rows)
    figure = new_figure(PANEL_WIDTH * across + margin, height * rows)
    panels: list[Axes] = list(figure.subplots(rows, across, squeeze=False, sharey=sharey).flat)
    for axes, column in zip(panels, table.columns, strict=False):
        axes.set_title(f"{column.kind.title}\n{column.title}")
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count], across


def _dots(table: Table) -> Figure:
    """One panel per metric, one line per setting and model: seeds as dots, mean and standard deviation as bar and line."""
    height = ROW_HEIGHT * (len(table.models) + len(table.plan.settings)) + 1.1
    figure, panels, across = _panels(table, 1.2, height, sharey=True)
    firsts: dict[str, float] = {}
    places: list[float] = []
    for number, line in enumerate(table.models):
        firsts.setdefault(line.setting, number + 0.9 * len(firsts))
        places.append(number + 0.9 * (len(firsts) - 1))  # a gap before each setting
    for axes, column in zip(panels, table.columns, strict=True):
        for line, place in zip(table.models, places, strict=True):
            _dots_of(axes, line, column, place)
        axes.grid(axis="y", visible=False)
        axes.locator_params(axis="x", nbins=5)
    panels[0].set_yticks(places, [line.row.title for line in table.models])
    panels[0].set_ylim(max(places) + 0.7, min(places) - 1.2)
    for axes in panels[::across]:
        for setting, place in firsts.items():
            axes.text(-0.02, place - 0.75, setting, transform=axes.get_yaxis_transform(), ha="right", weight="bold")
    return figure


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
    figure, panels, _ = _panels(table, 0.8, 3.6)
    settings = table.plan.settings
    for axes, column in zip(panels, table.columns, strict=True):
        for number, row in enumerate(table.plan.rows):
            lines = [line for line in table.models if line.row == row]
            spreads = [spread(line.values[column.key].values) for line in lines]
            places = [settings.index(line.setting) for line in lines]
            mean = np.array([one.mean for one in spreads])
            deviation = np.nan_to_num([one.std for one in spreads])
            axes.plot(places, mean, marker="o", markersize=4, color=f"C{number}", label=row.title)
            axes.fill_between(places, mean - deviation, mean + deviation, color=f"C{number}", alpha=0.15, linewidth=0)
        axes.set_xticks(range(len(settings)), settings)
        axes.tick_params(axis="x", labelrotation=30 if len(settings) > 5 else 0)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(table.plan.rows))
    return figure
