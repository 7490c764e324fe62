"""The page's own HTML, from the templates of this package. All text is escaped: names come from data sets, files and runs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mgm.report.html.rendering import legend_css, uri

if TYPE_CHECKING:
    from jinja2 import Environment

WEBP_QUALITY = 90


@dataclass(frozen=True)
class Tile:
    """An image with a caption."""

    title: str
    pixels: np.ndarray
    """``[H, W, 3]`` uint8."""
    alt: str
    """What the image shows, for those who cannot see it."""
    over: bool = True
    """Whether it lies over the photograph, which the page's slider lets show through."""


def html(macro: str, *args: Any, **options: Any) -> str:
    """What a macro of ``templates/tiles.html`` makes of its arguments."""
    return str(getattr(_environment().get_template("tiles.html").module, macro)(*args, **options))


def page_css() -> str:
    """The style sheet of the page."""
    return _environment().get_template("page.css").render() + legend_css()


def reading_script() -> str:
    """The script that reads the values under the cursor."""
    return _environment().get_template("reading.js").render()


def source(pixels: np.ndarray) -> str:
    """An image inside the page, so that nothing has to be stored or served."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "WEBP", quality=WEBP_QUALITY)
    return uri("webp", stream.getvalue())


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("mgm.demo"), autoescape=True, undefined=StrictUndefined)
    environment.filters["source"] = source
    return environment
