"""The page's own HTML, from the templates of this package. All text is escaped: names come from data sets, files and runs."""

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
    """What the image shows, for those who cannot see it."""
    over: bool = True
    """Whether it lies over the photograph, which the page's slider lets show through."""


def html(macro: str, *args: Any, **options: Any) -> str:
    """What a macro of ``templates/tiles.html`` makes of its arguments."""
    return str(getattr(templates(PACKAGE).get_template("tiles.html").module, macro)(*args, **options))


def source_of(name: str) -> str:
    """A style sheet or script of ``templates``."""
    return templates(PACKAGE).get_template(name).render()
