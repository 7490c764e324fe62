"""Grids of images with titles and legends, which all figures of images are made of.

Everything is placed in one set of axes that covers the figure and is measured in inches, x to the right and y down. With axes of
its own for every image, matplotlib takes seconds to draw a figure of a hundred.
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
"""Around a figure, and between images, in inches."""
LEGEND_WIDTH, LEGEND_HEIGHT = 2.1, 1.05
"""Least width and height of a legend, in inches."""
CLASS_WIDTH, CLASS_HEIGHT = 0.95, 0.145
"""What the name of a class takes in a legend, in inches."""
ERRORS_HEIGHT = 0.4
"""Height that the colours of error maps take in addition."""
MOST_CLASSES = 60
"""Classes that a legend names, the most frequent first; the others are counted."""
BAR_WIDTH, BAR_HEIGHT = 2.4, 0.13
CHARACTERS_PER_INCH = 14
"""Of the small font."""


def wrapped(text: str, inches: float, lines: int = 1) -> str:
    """Text broken into lines that fit into a width; what is too long ends with an ellipsis."""
    width = max(8, int(inches * CHARACTERS_PER_INCH))
    whole = textwrap.wrap(text, width, max_lines=lines, placeholder="…")
    # textwrap leaves out a word that does not fit, and with it all of a name of one word
    return f"{text[: width - 1]}…" if whole == ["…"] else "\n".join(whole)


def legend_height(legend: Legend, width: float) -> float:
    """What a legend takes below each other, in inches: all classes up to `MOST_CLASSES`, in as many columns as fit."""
    count = min(MOST_CLASSES, len(legend.classes)) + bool(legend.unlabelled)
    return max(LEGEND_HEIGHT, CLASS_HEIGHT * -(-count // max(1, int(width / CLASS_WIDTH))) + 0.05)


class ImageGrid:
    """A figure with a grid of images.

    Args:
        widths: Of the columns, in inches.
        rows: How many.
        height: Of a row, in inches.
        row_gap: Space above each row but the first.
        header: Space above the first row.
        footer: Space below the last row, for legends.
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
        self.width = sum(widths) + (len(widths) - 1) * GAP + 2 * MARGIN
        whole = self.top(rows) - row_gap + footer + MARGIN
        self.figure: Figure = new_figure(self.width, whole, constrained=False)
        self._axes = self.figure.add_axes((0, 0, 1, 1), frameon=False)
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, self.width), ylim=(whole, 0))

    def left(self, column: int) -> float:
        """Where a column begins."""
        return MARGIN + sum(self.widths[:column]) + column * GAP

    def top(self, row: int) -> float:
        """Where a row begins."""
        return MARGIN + self._header + row * (self.height + self._row_gap)

    def show(
        self, row: int, column: int, pixels: np.ndarray | None, title: str = "", note: str = "", *, bold: bool = False
    ) -> None:
        """Draw an image that fills its place or, without one, a grey field with a note.

        Args:
            row: Its place.
            column: Its place.
            pixels: ``[H, W, 3]`` uint8 or None.
            title: Above the image; cut to its width unless bold.
            note: In place of a missing image.
            bold: Whether the title is.
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
        text = title if bold else wrapped(title, width)
        self._axes.text(x, y - 0.05, text, fontsize=10 if bold else 8, fontweight="bold" if bold else "normal")

    def heading(self, row: int, column: int, text: str, offset: float = 0.23) -> None:
        """A bold line, ``offset`` inches above an image, that may be wider than it."""
        self._axes.text(self.left(column), self.top(row) - offset, text, fontsize=8.5, fontweight="bold")

    def label(self, row: int, column: int, text: str) -> None:
        """Text in place of an image, aligned to the right and vertically centred."""
        x, y = self.left(column) + self.widths[column], self.top(row) + self.height / 2
        text = wrapped(text, self.widths[column], max(1, int(self.height / 0.15)))
        self._axes.text(x - 0.05, y, text, ha="right", va="center", fontsize=8)

    def legend(
        self, legend: Legend, x: float, y: float, width: float, *, errors: bool = False, title: bool = False
    ) -> None:
        """Explain the colours of one task.

        Args:
            legend: What to explain.
            x: Where the legend begins.
            y: Where it begins; it is `legend_height` high, with error maps `ERRORS_HEIGHT` higher.
            width: What it may take; at least `LEGEND_WIDTH`.
            errors: Explain the colours of error maps too.
            title: Write the task's title above.
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
        self._patches(legend, x, y, width, bottom - y)

    def _bar(self, scale: ColourScale, x: float, y: float, width: float, note: str) -> float:
        """A colour bar with its ends and a note below; returns where it ends."""
        width = min(width, BAR_WIDTH)
        self._axes.imshow(scale.colours[None], extent=(x, x + width, y + BAR_HEIGHT, y), aspect="auto")
        short = len(note) < 8
        lines = note if short else wrapped(note, width, 3)
        for left, top, align, text in (
            (x, y + 0.16, "left", scale.low),
            (x + width, y + 0.16, "right", scale.high),
            (x + width / 2, y + 0.16, "center", note if short else ""),
            (x, y + 0.3, "left", "" if short else lines),
        ):
            self._axes.text(left, top, text, ha=align, va="top", fontsize=7, color=FAINT_INK if text == lines else None)
        return y + 0.38 + 0.12 * (lines.count("\n") + 1)

    def _patches(self, legend: Legend, x: float, y: float, width: float, height: float) -> None:
        """The classes, the most frequent first, and what pixels without a label look like."""
        from matplotlib.legend import Legend as Box
        from matplotlib.patches import Patch

        columns = max(1, int(width / CLASS_WIDTH))
        room = min(MOST_CLASSES, max(1, int(height / CLASS_HEIGHT)) * columns - bool(legend.unlabelled))
        shown = legend.classes if len(legend.classes) <= room else legend.classes[: max(1, room - 1)]
        entries = [(wrapped(entry.name, width / columns - 0.25), entry.colour) for entry in shown]
        if legend.unlabelled:
            entries.append(("no label", INVALID_COLOUR))
        names = [name for name, _ in entries]
        patches = [
            Patch(facecolor="#{:02x}{:02x}{:02x}".format(*colour), edgecolor="#8c959f", linewidth=0.5)
            for _, colour in entries
        ]
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
