"""Curves as SVG images inside a page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mgm.report.figures.curves import draw_bands, draw_losses, draw_scores
from mgm.report.figures.style import figure_style, new_figure
from mgm.report.history import History, stages_of, tasks_of
from mgm.report.html.rendering import uri

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 4.0, 2.9
"""Of a chart, in inches."""


@dataclass(frozen=True)
class Chart:
    """A plot with its own legend. It is transparent, and the page inverts its lightness on a dark ground."""

    title: str
    uri: str
    alt: str
    """What it shows, for those who cannot see it."""


def score_charts(histories: Mapping[str, History]) -> list[Chart]:
    """Validation scores of a few runs, a chart per task."""
    return [_chart(lambda axes, task=task: draw_scores(axes, task, histories)) for task in tasks_of(histories.values())]


def loss_charts(histories: Mapping[str, History]) -> list[Chart]:
    """Losses of a few runs, a chart per stage."""
    stages = stages_of(histories.values())
    return [_chart(lambda axes, stage=stage: draw_losses(axes, stage, histories)) for stage in stages]


def band_charts(groups: Mapping[str, list[History]]) -> list[Chart]:
    """Validation scores as mean and standard deviation over the runs of each group, a chart per task."""
    tasks = tasks_of([history for group in groups.values() for history in group])
    return [_chart(lambda axes, task=task: draw_bands(axes, task, groups)) for task in tasks]


def _chart(draw: Callable[[Axes], None]) -> Chart:
    buffer = io.BytesIO()
    with figure_style():
        figure = new_figure(WIDTH, HEIGHT)
        axes = figure.add_subplot(facecolor="none")
        draw(axes)
        title, label = axes.get_title("left"), axes.get_ylabel()
        axes.set_title("", loc="left")  # stands above the chart, in the text of the page
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(title, uri("svg+xml", buffer.getvalue()), f"{title}: {label} against {axes.get_xlabel()}")
