"""Style of all figures, and their conversion to files and arrays."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mgm.data.files import write_atomically
from mgm.training.checkpoint import make_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAINT_INK = "#656d76"
DPI = 120
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.interpolation": "nearest",
    "image.composite_image": False,
    "text.parse_math": False,  # names of runs and classes may contain dollar signs
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "mgm",
}
"""matplotlib settings."""


@contextmanager
def figure_style() -> Generator[None]:
    """Use `STYLE` regardless of the user's matplotlib settings, and silence warnings about missing glyphs."""
    from matplotlib import style

    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def new_figure(width: float, height: float, *, constrained: bool = True) -> Figure:
    """Create an empty figure of this size in inches, by default with constrained layout; needs no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained" if constrained else None)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG according to the suffix (default: PNG); creates missing folders.

    Raises:
        RunError: If the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower() or "png"
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    make_folder(path.parent)
    with figure_style():
        write_atomically(path, lambda file: figure.savefig(file, format=kind, metadata=metadata))


def figure_pixels(figure: Figure) -> np.ndarray:
    """Render a figure to ``[H, W, 3]`` uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with figure_style():
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
