"""Curves as inline SVG whose colours follow the page: light, dark, print."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mgm.report.canvas import FAINT_INK
from mgm.report.curves import (
    PLOT_STYLE,
    STAGE_TITLES,
    History,
    draw_bands,
    draw_losses,
    draw_scores,
    literal,
    stages_of,
    tasks_of,
)
from mgm.report.tables import metric_title
from mgm.tasks import TASKS

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 3.7, 2.4
"""Of a panel, in inches."""
SERIES = 8
"""Colours of lines that the page defines."""
_SERIES_COLOURS = [f"#5e12{number:02x}" for number in range(1, SERIES + 1)]
_INK, _GRID = "#5e1100", "#5e1101"
# matplotlib knows no variables: it draws in these colours, which occur nowhere else, and they are exchanged afterwards
_VARIABLES = {_INK: "var(--ink)", _GRID: "var(--line)", FAINT_INK: "var(--faint)"} | {
    colour: f"var(--c{number})" for number, colour in enumerate(_SERIES_COLOURS, 1)
}


@dataclass(frozen=True)
class Chart:
    """A panel of curves."""

    title: str
    svg: Markup
    alt: str
    """What it shows, for those who cannot see it."""


@dataclass(frozen=True)
class Charts:
    """Small multiples that share one key."""

    titles: list[str]
    """What the lines stand for, in the order of their colours."""
    scores: list[Chart]
    losses: list[Chart]


def run_charts(histories: dict[str, History]) -> Charts:
    """Validation scores per task, and losses per stage, of a few runs."""
    titles, histories = list(histories), {literal(title): history for title, history in histories.items()}
    scores = [
        _chart(task, _score_title(task), lambda axes, task=task: draw_scores(axes, task, histories), legend=False)
        for task in tasks_of(histories.values())
    ]
    losses = [
        _chart(
            stage,
            STAGE_TITLES.get(stage, stage),
            lambda axes, stage=stage: draw_losses(axes, stage, histories),
            legend=True,
        )
        for stage in stages_of(histories.values())
    ]
    return Charts(titles, scores, losses)


def band_charts(groups: dict[str, list[History]]) -> Charts:
    """Validation scores per task as mean and standard deviation over the runs of each group."""
    histories = [history for group in groups.values() for history in group]
    scores = [
        _chart(task, _score_title(task), lambda axes, task=task: draw_bands(axes, task, groups), legend=False)
        for task in tasks_of(histories)
    ]
    return Charts(list(groups), scores, [])


def _score_title(task: str) -> str:
    return f"{TASKS[task].title}: {metric_title(TASKS[task].metrics_info[TASKS[task].primary])}"


def _chart(name: str, title: str, draw: Callable[[Axes], None], *, legend: bool) -> Chart:
    """One panel; its title stands in the page, and so does the key of scores."""
    from cycler import cycler
    from markupsafe import Markup
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    colours = {
        "axes.prop_cycle": cycler(color=_SERIES_COLOURS),
        **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), _INK),
        **dict.fromkeys(("grid.color", "axes.edgecolor", "xtick.color", "ytick.color"), _GRID),
        "svg.fonttype": "none",
    }
    buffer = io.StringIO()
    with style.context(["default", PLOT_STYLE, colours]):
        figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="none", layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
        draw(axes)
        label = axes.get_ylabel()
        axes.set(title="", ylabel="")  # both stand above the panel, in the page's own text
        if drawn := axes.get_legend():
            drawn.remove()
        if legend:
            figure.legend(ncols=2, loc="outside lower center")
        canvas.print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Chart(title, Markup(_inline(buffer.getvalue(), name)), f"{title}: {label} against {axes.get_xlabel()}")


def _inline(svg: str, name: str) -> str:
    """The picture alone, without fixed size and fonts, and with names that no other picture of the page has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) (?:height|width)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) (?:height|width)="[^"]*"', r"\1", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\1{name}-", svg)
    svg = re.sub(r"(font(?:-family)?: [^;]*?)'DejaVu Sans'[^;\"]*", r"\1sans-serif", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
