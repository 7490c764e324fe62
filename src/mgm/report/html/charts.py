"""Training curves and confusion matrices as SVG images embedded in a page."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mgm.report.figures.curves import MOST_CLASSES, draw_confusion
from mgm.report.figures.style import figure_style, new_figure
from mgm.report.html.rendering import uri
from mgm.tasks.base import Confusion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Shown = TypeVar("Shown")
WIDTH, HEIGHT = 4.0, 2.9
"""Size of a chart, in inches."""


@dataclass(frozen=True)
class Chart:
    """A plot with legend and transparent background; the page inverts its lightness in dark mode."""

    title: str
    uri: str
    alt: str
    """Alternative text."""


def charts(draw: Callable[[Axes, str, Shown], None], names: Iterable[str], shown: Shown) -> list[Chart]:
    """One chart per task or stage, drawn by a function of `mgm.report.figures.curves`."""
    return [_chart(lambda axes, name=name: draw(axes, name, shown)) for name in names]


def confusion_chart(title: str, confusion: Confusion) -> Chart:
    """A confusion matrix as a chart."""
    side = 1.8 + 0.3 * min(len(confusion.classes), MOST_CLASSES)
    return _chart(lambda axes: draw_confusion(axes, title, confusion), side, side)


def _chart(draw: Callable[[Axes], None], width: float = WIDTH, height: float = HEIGHT) -> Chart:
    buffer = io.BytesIO()
    with figure_style():
        figure = new_figure(width, height)
        axes = figure.add_subplot(facecolor="none")
        draw(axes)
        title, label = axes.get_title("left"), axes.get_ylabel()
        axes.set_title("", loc="left")  # the page writes it above the chart
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Chart(title, uri("svg+xml", buffer.getvalue()), f"{title}: {label} against {axes.get_xlabel()}")
