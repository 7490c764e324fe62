"""Grids of images with titles and legends, the basis of all figures of images.

Everything is drawn in a single `Axes` that covers the figure, with coordinates in inches, x to the right and y down. With one
`Axes` per image, matplotlib would take seconds to draw a hundred images.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mgm.report.figures.style import FAINT_INK, new_figure
from mgm.tasks.legend import ColourScale, Legend
from mgm.tasks.pictures import INVALID_COLOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN, GAP = 0.1, 0.04
"""Space around a figure and between images, in inches."""
LEGEND_WIDTH, LEGEND_HEIGHT = 2.1, 1.05
"""Minimum width and height of a legend, in inches."""
CLASS_WIDTH, CLASS_HEIGHT = 0.95, 0.145
"""Size of a class's entry in a legend, in inches; with long names it is wider where there is room."""
CLASS_PATCH = 0.25
"""Width of the patch before a class's name, in inches."""
ERRORS_HEIGHT = 0.4
"""Additional height for the colour bar of error maps, in inches."""
MOST_CLASSES = 60
"""Largest number of classes named in a legend, the most frequent first; the others are counted."""
BAR_WIDTH, BAR_HEIGHT = 2.4, 0.13
CHARACTERS_PER_INCH = 14
"""Characters of the small font per inch."""


def wrapped(text: str, inches: float, lines: int = 1) -> str:
    """Wrap text into lines of the given width; text that is too long is truncated with an ellipsis."""
    width = max(8, int(inches * CHARACTERS_PER_INCH))
    whole = textwrap.wrap(text, width, max_lines=lines, placeholder="…")
    # textwrap drops a word that does not fit, which leaves nothing of a single long word
    return f"{text[: width - 1]}…" if whole == ["…"] else "\n".join(whole)


def shortened(text: str, width: int) -> str:
    """Shorten text to ``width`` characters by an ellipsis in its middle: names of images and runs often differ at their end."""
    tail = (width - 1) // 2
    return text if len(text) <= width else f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def legend_height(legend: Legend, width: float) -> float:
    """Height of a legend in inches: up to `MOST_CLASSES` classes, in as many columns as fit."""
    return max(LEGEND_HEIGHT, CLASS_HEIGHT * -(-_entries(legend) // _class_columns(legend, width)) + 0.05)


def class_list_width(legend: Legend) -> float:
    """Width in inches that a list of classes needs in order to have its usual height and complete names."""
    return -(-_entries(legend) // int(LEGEND_HEIGHT / CLASS_HEIGHT)) * _widest_class(legend)


def _entries(legend: Legend) -> int:
    return min(MOST_CLASSES, len(legend.classes)) + bool(legend.unlabelled)


def _widest_class(legend: Legend) -> float:
    """Width of a column of classes with complete names, in inches."""
    longest = max((len(entry.name) for entry in legend.classes), default=0)
    return max(CLASS_WIDTH, (longest + 1) / CHARACTERS_PER_INCH + CLASS_PATCH)


def _class_columns(legend: Legend, width: float) -> int:
    """Number of columns of a list of classes: as wide as the names need if the list then keeps its usual height."""
    complete = max(1, int(width / _widest_class(legend)))
    return complete if class_list_width(legend) <= width else max(complete, int(width / CLASS_WIDTH))


class ImageGrid:
    """A figure with a grid of images; all sizes are in inches.

    Args:
        widths: Widths of the columns.
        rows: Number of rows.
        height: Height of a row.
        row_gap: Space above each row but the first.
        header: Space above the first row.
        footer: Space below the last row for legends.
    """

    def __init__(
        self,
        widths: Sequence[float],
        rows: int,
        height: float,
        *,
        row_gap: float = GAP,
        header: float = 0.0,
        footer: float = 0.0,
    ) -> None:
        self.widths, self.height, self._row_gap, self._header = widths, height, row_gap, header
        width = sum(widths) + (len(widths) - 1) * GAP + 2 * MARGIN
        whole = self.top(rows) - row_gap + footer + MARGIN
        self.figure: Figure = new_figure(width, whole, constrained=False)
        self._axes = self.figure.add_axes((0, 0, 1, 1), frameon=False)
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(whole, 0))

    def left(self, column: int) -> float:
        """Left edge of a column, in inches."""
        return MARGIN + sum(self.widths[:column]) + column * GAP

    def top(self, row: int) -> float:
        """Top edge of a row, in inches."""
        return MARGIN + self._header + row * (self.height + self._row_gap)

    def show(
        self, row: int, column: int, pixels: np.ndarray | None, title: str = "", note: str = "", *, bold: bool = False
    ) -> None:
        """Draw ``[H, W, 3]`` uint8 pixels that fill a cell or, without any, a grey box with a note.

        The lines of the title above it are shortened to its width unless they are bold.
        """
        x, y, width = self.left(column), self.top(row), self.widths[column]
        box = (x, x + width, y + self.height, y)
        if pixels is None:
            self._axes.fill_between(box[:2], y, y + self.height, color="#eceef0", linewidth=0)
            place = (x + width / 2, y + self.height / 2)
            self._axes.text(*place, note, ha="center", va="center", fontsize=8, color=FAINT_INK)
        else:
            self._axes.imshow(pixels, extent=box, aspect="auto")
            edges = ([x, x + width, x + width, x, x], [y, y, y + self.height, y + self.height, y])
            self._axes.plot(*edges, color="#c8ccd0", linewidth=0.6)
        most = max(8, int(width * CHARACTERS_PER_INCH))
        text = title if bold else "\n".join(shortened(line, most) for line in title.splitlines())
        self._axes.text(x, y - 0.05, text, fontsize=10 if bold else 8, fontweight="bold" if bold else "normal")

    def heading(self, row: int, column: int, text: str, offset: float = 0.23) -> None:
        """Write a bold line ``offset`` inches above a cell; it may be wider than the cell."""
        self._axes.text(self.left(column), self.top(row) - offset, text, fontsize=8.5, fontweight="bold")

    def label(self, row: int, column: int, text: str) -> None:
        """Write text into a cell, right-aligned and vertically centred."""
        x, y = self.left(column) + self.widths[column], self.top(row) + self.height / 2
        text = wrapped(text, self.widths[column], max(1, int(self.height / 0.15)))
        self._axes.text(x - 0.05, y, text, ha="right", va="center", fontsize=8)

    def legend(
        self, legend: Legend, x: float, y: float, width: float, *, errors: bool = False, title: bool = False
    ) -> None:
        """Draw the legend of one task, `legend_height` high, plus `ERRORS_HEIGHT` with error maps.

        Args:
            legend: The legend.
            x: Left edge, in inches.
            y: Top edge, in inches.
            width: Available width in inches, at least `LEGEND_WIDTH`.
            errors: Whether to add the colour bar of error maps.
            title: Whether to write the task's title above.
        """
        bottom = y + legend_height(legend, width)
        if title:
            self._axes.text(x, y - 0.06, legend.title, fontsize=9, fontweight="bold")
        if errors:
            self._bar(legend.errors, x, bottom + 0.05, width, "error")
        if legend.scale is not None:
            y = self._bar(legend.scale, x, y, width, legend.text)
        elif legend.picture is not None:
            self._axes.imshow(legend.picture, extent=(x, x + 0.5, y + 0.5, y), aspect="auto")
            note = wrapped(legend.text, width - 0.7, 5)
            self._axes.text(x + 0.58, y + 0.25, note, va="center", fontsize=7)
            y += 0.58
        elif legend.text:
            lines = wrapped(legend.text, width, 4)
            self._axes.text(x, y, lines, va="top", fontsize=7)
            y += 0.12 * (lines.count("\n") + 1) + 0.08
        self._patches(legend, x, y, width, bottom - y)

    def _bar(self, scale: ColourScale, x: float, y: float, width: float, note: str) -> float:
        """Draw a colour bar with the values of its ends and a note below; returns its bottom edge."""
        width = min(width, BAR_WIDTH)
        self._axes.imshow(scale.colours[None], extent=(x, x + width, y + BAR_HEIGHT, y), aspect="auto")
        short = len(note) < 8
        lines = note if short else wrapped(note, width, 3)
        self._axes.text(x, y + 0.16, scale.low, va="top", fontsize=7)
        self._axes.text(x + width, y + 0.16, scale.high, ha="right", va="top", fontsize=7)
        place = (x + width / 2, y + 0.16) if short else (x, y + 0.3)
        self._axes.text(*place, lines, ha="center" if short else "left", va="top", fontsize=7, color=FAINT_INK)
        return y + 0.38 + 0.12 * (lines.count("\n") + 1)

    def _patches(self, legend: Legend, x: float, y: float, width: float, height: float) -> None:
        """Draw patches for the classes, the most frequent first, and for pixels without a label."""
        from matplotlib.legend import Legend as Box
        from matplotlib.patches import Patch

        columns = _class_columns(legend, width)
        room = min(MOST_CLASSES, max(1, int(height / CLASS_HEIGHT)) * columns - bool(legend.unlabelled))
        shown = legend.classes if len(legend.classes) <= room else legend.classes[: max(1, room - 1)]
        names = [wrapped(entry.name, width / columns - CLASS_PATCH) for entry in shown]
        colours = [entry.colour for entry in shown]
        if legend.unlabelled:
            names.append("no label")
            colours.append(INVALID_COLOUR)
        fills = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours]
        patches = [Patch(facecolor=fill, edgecolor="#8c959f", linewidth=0.5) for fill in fills]
        if len(shown) < len(legend.classes):
            names.append(f"and {len(legend.classes) - len(shown)} more")
            patches.append(Patch(facecolor="none"))
        if names:
            box = Box(
                self._axes, patches, names, loc="upper left", bbox_to_anchor=(x, y), bbox_transform=self._axes.transData,
                borderaxespad=0, borderpad=0, ncols=columns, fontsize=7, handlelength=1, handleheight=1,
                handletextpad=0.5, columnspacing=1, labelspacing=0.35,
            )  # fmt: skip
            self._axes.add_artist(box)
