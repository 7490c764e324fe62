"""HTML of the page, from the templates of this package. All text is escaped, since names come from data sets, files and runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mgm.report.html.rendering import templates

PACKAGE = "mgm.demo"


@dataclass(frozen=True)
class Tile:
    """An image with a caption."""

    title: str
    pixels: np.ndarray
    """``[H, W, 3]`` uint8."""
    alt: str
    """Alternative text."""
    over: bool = True
    """Whether it is drawn over the input image, with the opacity that the page's slider sets."""


def html(macro: str, *args: Any, **options: Any) -> str:
    """Render a macro of ``templates/tiles.html``."""
    return str(getattr(templates(PACKAGE).get_template("tiles.html").module, macro)(*args, **options))


def source_of(name: str) -> str:
    """Text of a style sheet or script in ``templates``."""
    return templates(PACKAGE).get_template(name).render()
