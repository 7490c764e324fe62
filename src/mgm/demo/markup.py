"""Pictures, legends and sentences as HTML. Every name that comes from a data set, a file or a run is escaped here."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np
from PIL import Image
from torch import Tensor

from mgm.demo.views import class_shares, value_range
from mgm.report.legends import ball_colours, has_classes, pair_colours, scale_colours, scale_end
from mgm.tasks.base import Task
from mgm.tasks.normals import SurfaceNormals
from mgm.tasks.pictures import palette

QUALITY = 90
BALL = 72
"""Side of the small pictures in legends, in pixels."""
_STEPS = 12
"""Colours of a scale; the browser blends between them."""


def picture_source(pixels: np.ndarray) -> str:
    """A picture as a ``data:`` address, so that nothing has to be stored or served.

    Args:
        pixels: ``[H, W, 3]`` or, with transparency, ``[H, W, 4]``, uint8.
    """
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def tile(title: str, pixels: np.ndarray, alt: str, *, reads: bool = False, over: bool = True) -> str:
    """A picture with a caption.

    Args:
        title: Caption.
        pixels: ``[H, W, 3]`` uint8.
        alt: What the picture shows, for those who do not see it.
        reads: Whether the tile takes the keyboard, whose arrow keys then move the place that is read.
        over: Whether the picture lies over the photograph (see `tiles`), which shows through as the page's slider says.
    """
    height, width = pixels.shape[:2]
    keys = f' tabindex="0" role="group" aria-label="{escape(title)}: arrow keys move the reading"' if reads else ""
    return (
        f'<figure class="mgm-tile"><figcaption>{escape(title)}</figcaption>'
        f'<div class="mgm-stack"{keys} style="aspect-ratio: {width} / {height}">'
        f'<img{" class=mgm-over" if over else ""} src="{picture_source(pixels)}" alt="{escape(alt)}">'
        '<i class="mgm-cross"></i></div></figure>'
    )


def tiles(figures: Iterable[str], photograph: np.ndarray, *, size: tuple[int, int] = (0, 0), title: str = "") -> str:
    """Tiles side by side, as many as the window is wide for.

    Args:
        figures: From `tile`.
        photograph: ``[h, w, 3]`` uint8, what they lie over; sent once for all of them.
        size: Height and width in pixels of the photograph whose places the cursor reads; (0, 0): none is read.
        title: A heading.
    """
    heading = f'<h4 class="mgm-title">{escape(title)}</h4>' if title else ""
    place = f' data-height="{size[0]}" data-width="{size[1]}"' if size[0] else ""
    below = f"--mgm-photograph: url({picture_source(photograph)})"
    return f'{heading}<div class="mgm-tiles"{place} style="{below}">{"".join(figures)}</div>'


def sentence(text: str) -> str:
    """A paragraph that tells the visitor something."""
    return f'<p class="mgm-hint" role="status">{escape(text)}</p>'


def reading(text: str, x: int = -1, y: int = -1) -> str:
    """The line about the pixel under the cursor; the page asks until the place is the one that it wants to know about."""
    return f'<p class="mgm-reading" role="status" data-place="{x},{y}">{escape(text)}</p>'


def legend(tasks: Mapping[str, Task], values: Mapping[str, Tensor]) -> str:
    """What the colours of all tasks mean, with the shares or the range of their values in this photograph."""
    boxes = "".join(_legend_of(task, values[name]) for name, task in tasks.items() if name in values)
    return f'<div class="mgm-legends">{boxes}</div>'


def _legend_of(task: Task, value: Tensor) -> str:
    if has_classes(task):
        body = _classes(task, value)
    elif isinstance(task, SurfaceNormals):
        ball, inside = ball_colours(task, BALL)
        shown = np.dstack([ball, inside.astype(np.uint8) * 255])
        body = _small_picture(shown, "a ball in the colours of its normals") + (
            "<span>each direction has its colour, as on this ball: blue faces you, green is up, red is right</span>"
        )
    elif task.channels == 1:
        body = _scale(task, value)
    elif task.channels == 2:
        body = _small_picture(pair_colours(task, BALL), "colours of all pairs of values")
        body += "<span>first value to the right, second upwards, both from 0 to 1</span>"
    else:
        return ""
    return f'<section class="mgm-legend"><h4>{escape(task.title)}</h4><div>{body}</div></section>'


def _classes(task: Task, value: Tensor) -> str:
    colours = palette(len(task.classes))
    rows = []
    for index, share in class_shares(task, value):
        percent = f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"
        rows.append(
            f'<li><i style="background: rgb({", ".join(map(str, colours[index]))})"></i>'
            f"<span>{escape(task.classes[index].replace('_', ' '))}</span><b>{percent}</b></li>"
        )
    return f'<ul class="mgm-classes">{"".join(rows)}</ul>'


def _scale(task: Task, value: Tensor) -> str:
    colours = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in scale_colours(task, _STEPS).tolist())
    found = value_range(value)
    end, unit = scale_end(task)
    here = "no value" if found is None else f"here {found[0]:.2f} to {found[2]:.2f}, median {found[1]:.2f}"
    return (
        f'<div class="mgm-scale"><i style="background: linear-gradient(to right, {colours})"></i>'
        f"<span>0</span><span>{escape(f'{end:g} {unit}'.strip())}</span></div><span>{here} {escape(task.unit)}</span>"
    )


def _small_picture(pixels: np.ndarray, alt: str) -> str:
    return f'<img src="{picture_source(pixels)}" width="{BALL}" height="{BALL}" alt="{escape(alt)}">'


def headline(summaries: Sequence[tuple[str, str]]) -> str:
    """The head of the page: the name of the package, and a line per run.

    Args:
        summaries: Title of each run and what there is to say about it.
    """
    lines = "".join(f"<li><b>{escape(title)}</b> <span>{escape(text)}</span></li>" for title, text in summaries)
    return f'<header class="mgm-head"><h1>mgm</h1><ul>{lines}</ul></header>'
