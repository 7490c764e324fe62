"""Rendering of templates, embedded images and charts, and sections whose content may be missing."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from mgm.errors import MgmError, RunError
from mgm.report.figures.curves import MOST_CLASSES, draw_confusion
from mgm.report.figures.panels import shortened
from mgm.report.figures.style import figure_style, new_figure
from mgm.report.tables import share
from mgm.tasks.base import Confusion
from mgm.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.axes import Axes

Content = TypeVar("Content")
Shown = TypeVar("Shown")
LARGEST_FILE = 600_000
"""Largest image file, in bytes, that is embedded unchanged."""
LARGEST_WIDTH = 1600
WIDTH, HEIGHT = 4.0, 2.9
"""Size of a chart, in inches."""


@dataclass(frozen=True)
class Missing:
    """Placeholder for the content of a section, with the reason why there is none."""

    reason: str


def attempt(make: Callable[[], Content]) -> Content | Missing:
    """The content of a section, or the reason why it cannot be made, so that missing data affect only one section."""
    try:
        return make()
    except MgmError as error:
        return Missing(str(error))


def render(template: str, **context: Any) -> str:
    """Render a template of this package. All text is escaped; a name missing from the context is an error."""
    return templates().get_template(template).render(version=__version__, **context)


def data_uri(pixels: np.ndarray) -> str:
    """Encode ``[H, W, 3]`` or (with opacity) ``[H, W, 4]`` uint8 as a data URI: PNG, or JPEG if that is smaller."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    files = {"png": _encoded(image, format="PNG", optimize=True)}
    if pixels.shape[-1] == 3:
        files["jpeg"] = _encoded(image, format="JPEG", quality=90, subsampling=0)
    kind, content = min(files.items(), key=lambda file: len(file[1]))
    return uri(kind, content)


def uri(kind: str, content: bytes) -> str:
    """Encode the bytes of an image file as a data URI; ``kind`` is png, jpeg, svg+xml, ..."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def file_uri(path: Path) -> str:
    """Encode a PNG file as a data URI; large files are scaled down.

    Raises:
        RunError: If the file cannot be read.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            flat = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunError(f"{path} cannot be read as a PNG image ({error}); delete it or create it again") from None
    if len(content) <= LARGEST_FILE:
        return uri("png", content)
    flat.thumbnail((LARGEST_WIDTH, 4 * LARGEST_WIDTH))
    return data_uri(np.asarray(flat))


def _encoded(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


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


@cache
def templates(package: str = "") -> Environment:
    """Template environment of this package; templates of ``package`` (a module name) take precedence."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (package, "mgm.report.html") if name]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    filters: dict[str, Any] = environment.filters
    formats = (counts, data_uri, duration, grouped, share, shortened)
    filters.update({function.__name__: function for function in formats})
    return environment


def grouped(number: int | None) -> str:
    """Format a count with digits in groups of three; None is a dash."""
    return "–" if number is None else f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def counts(counted: Mapping[str, int]) -> str:
    """Format names with their counts."""
    return ", ".join(f"{name} {grouped(number)}" for name, number in counted.items())


def duration(seconds: float | None) -> str:
    """Format a duration: ``37 s``, ``5 min 12 s``, ``2 h 5 min``; None is a dash."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.0f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
