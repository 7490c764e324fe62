"""A sheet of pictures and captions laid out in pixels, so that enlarged pixels stay sharp and square."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from mgm.training.checkpoint import write_atomically

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

INK = "#1f2328"
FAINT_INK = "#656d76"
MARGIN = 20
"""White pixels around a sheet."""
_DPI = 100
_POINTS_PER_PIXEL = 72 / _DPI
_BASELINE = 0.82
"""Place of the baseline in a line of text, from its top, as a share of the font's size."""


@dataclass(frozen=True)
class Caption:
    """A line of text; ``x, y`` is its upper corner or, aligned to the centre, the middle of its upper edge."""

    text: str
    x: float
    y: float
    size: float = 13
    """Height of the font in pixels."""
    bold: bool = False
    colour: str = INK
    align: Literal["left", "center", "right"] = "left"
    upright: bool = False
    """Written from bottom to top, and centred on ``x, y``."""


class Canvas:
    """Collects pictures and captions at pixel places (x to the right, y down), then draws them on white.

    The sheet grows with what is put on it.
    """

    def __init__(self) -> None:
        self._pictures: list[tuple[np.ndarray, int, int]] = []
        self._captions: list[Caption] = []
        self._right = self._bottom = 0

    @property
    def width(self) -> int:
        """Pixels used so far, without margins."""
        return self._right

    def picture(self, pixels: np.ndarray, x: float, y: float, *, frame: bool = False) -> None:
        """Put ``[H, W, 3]`` uint8 pixels down, their upper left corner at ``x, y``; a frame is a thin line around."""
        left, top = round(x), round(y)
        if frame:
            framed = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), constant_values=200)
            self._pictures.append((framed, left - 1, top - 1))
        else:
            self._pictures.append((pixels, left, top))
        self._grow(left + pixels.shape[1], top + pixels.shape[0])

    def caption(self, caption: Caption) -> None:
        """Write a line of text."""
        self._captions.append(caption)
        width = text_width(caption.text, caption.size, caption.bold)
        if caption.upright:
            self._grow(caption.x + caption.size / 2, caption.y + width / 2)
        else:
            share = {"left": 1.0, "center": 0.5, "right": 0.0}[caption.align]
            self._grow(caption.x + share * width, caption.y + 1.2 * caption.size)

    def _grow(self, right: float, bottom: float) -> None:
        self._right = max(self._right, int(np.ceil(right)))
        self._bottom = max(self._bottom, int(np.ceil(bottom)))

    def render(self) -> np.ndarray:
        """The sheet as ``[H, W, 3]`` uint8."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.transforms import IdentityTransform

        width, height = self._right + 2 * MARGIN, self._bottom + 2 * MARGIN
        sheet = np.full((height, width, 3), 255, dtype=np.uint8)
        for pixels, x, y in self._pictures:
            sheet[y + MARGIN : y + MARGIN + pixels.shape[0], x + MARGIN : x + MARGIN + pixels.shape[1]] = pixels
        # a hundredth of a pixel more, because Agg cuts the product of size and resolution down to a whole number
        figure = Figure(figsize=((width + 0.01) / _DPI, (height + 0.01) / _DPI), dpi=_DPI, facecolor="none")
        agg = FigureCanvasAgg(figure)
        for caption in self._captions:
            top = height - MARGIN - caption.y
            figure.text(
                caption.x + MARGIN,
                top if caption.upright else top - _BASELINE * caption.size,
                caption.text,
                transform=IdentityTransform(),
                fontproperties=_font(caption.size, caption.bold),
                color=caption.colour,
                ha="center" if caption.upright else caption.align,
                va="center" if caption.upright else "baseline",
                rotation=90 if caption.upright else 0,
                parse_math=False,
                usetex=False,
            )
        with _any_glyph():
            agg.draw()
        text = np.asarray(agg.buffer_rgba())
        written = text[..., 3] > 0  # laid over the pictures here, because matplotlib would resample them
        opacity = text[written, 3:] / 255
        sheet[written] = (sheet[written] * (1 - opacity) + text[written, :3] * opacity).round()
        return sheet

    def write(self, path: Path) -> None:
        """Write a PNG file or, where the name ends in ``.pdf``, a PDF: pixels as they are, text as text."""
        if path.suffix.lower() == ".pdf":
            write_atomically(path, self._write_pdf)
            return
        picture = Image.fromarray(self.render())
        write_atomically(path, lambda file: picture.save(file, format="PNG"))

    def _write_pdf(self, file: IO[bytes]) -> None:
        from matplotlib import rc_context
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.figure import Figure

        width, height = self._right + 2 * MARGIN, self._bottom + 2 * MARGIN
        figure = Figure(figsize=(width / _DPI, height / _DPI))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for pixels, x, y in self._pictures:
            extent = (x, x + pixels.shape[1], y + pixels.shape[0], y)
            axes.imshow(pixels, extent=extent, interpolation="none", aspect="auto")
        axes.set(xlim=(-MARGIN, width - MARGIN), ylim=(height - MARGIN, -MARGIN))  # pixels, y down
        for caption in self._captions:
            axes.text(
                caption.x,
                caption.y if caption.upright else caption.y + _BASELINE * caption.size,
                caption.text,
                fontproperties=_font(caption.size, caption.bold),
                color=caption.colour,
                ha="center" if caption.upright else caption.align,
                va="center" if caption.upright else "baseline",
                rotation=90 if caption.upright else 0,
                parse_math=False,
            )
        with _any_glyph(), rc_context({"pdf.fonttype": 42, "image.composite_image": False}):
            FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None})


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, bold: bool = False) -> float:
    """Width of a line in pixels."""
    from matplotlib.textpath import text_to_path

    with _any_glyph():
        width, _, _ = text_to_path.get_text_width_height_descent(text, _font(size, bold), False)
    return width / _POINTS_PER_PIXEL


def shorten(text: str, width: float, size: float, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits into ``width`` pixels, with an ellipsis."""
    if text_width(text, size, bold) <= width:
        return text
    while text and text_width(text + "…", size, bold) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, width: float, size: float) -> list[str]:
    """The text broken between words into lines that fit into ``width`` pixels; a longer word is cut off."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(shorten(word, width, size))
    return lines


def _font(size: float, bold: bool) -> FontProperties:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans", size=size * _POINTS_PER_PIXEL, weight="bold" if bold else "normal")


@contextmanager
def _any_glyph() -> Iterator[None]:
    """Names of files and classes may be in any script; a sign that the font lacks becomes an empty box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
