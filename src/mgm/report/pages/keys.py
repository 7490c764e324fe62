"""What the colours of a task mean, for a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from mgm.report.legends import (
    ERROR_ENDS,
    ball_colours,
    class_colours,
    classes_seen,
    error_colours,
    has_classes,
    pair_colours,
    scale_colours,
    scale_end,
)
from mgm.report.pages.embedding import data_uri
from mgm.tasks.base import Task
from mgm.tasks.normals import SurfaceNormals

MOST_CLASSES = 24
"""Classes that a key names; the others are counted."""
BAR_LENGTH = 64


@dataclass(frozen=True)
class Bar:
    """A strip of colours and what its ends mean."""

    uri: str
    start: str
    end: str


@dataclass(frozen=True)
class Key:
    """The key of a task; what does not apply is empty."""

    classes: list[tuple[str, str]]
    """CSS colour and name of each class."""
    unnamed: int = 0
    """Classes that are seen but not named."""
    scale: Bar | None = None
    picture: str = ""
    """A small picture that explains the colours."""
    picture_text: str = ""
    errors: Bar | None = None


def key(task: Task, values: Iterable[Tensor], *, errors: bool) -> Key:
    """Explain the colours of a task, and on wish those of its error maps.

    Args:
        task: Whose colours.
        values: Everything that is shown, for the classes in it.
        errors: Whether error maps are shown too.
    """
    error_bar = _error_bar(task) if errors else None
    if has_classes(task):
        seen = classes_seen(task, values)
        named = seen[:MOST_CLASSES]
        colours = [f"rgb({red} {green} {blue})" for red, green, blue in class_colours(task, named).tolist()]
        names = [task.classes[index] for index in named]
        return Key(list(zip(colours, names, strict=True)), len(seen) - len(named), errors=error_bar)
    if isinstance(task, SurfaceNormals):
        ball, inside = ball_colours(task, BAR_LENGTH)
        picture = data_uri(np.dstack((ball, 255 * inside.astype(np.uint8))))
        return Key([], picture=picture, picture_text="a ball in these colours, as the viewer sees it", errors=error_bar)
    if task.channels == 1:
        number, unit = scale_end(task)
        bar = Bar(data_uri(scale_colours(task, BAR_LENGTH)[None]), "0", f"{number:g} {unit}".strip())
        return Key([], scale=bar, errors=error_bar)
    if task.channels == 2:
        picture = data_uri(pair_colours(task, BAR_LENGTH))
        return Key([], picture=picture, picture_text="first value to the right, second up, 0 to 1", errors=error_bar)
    return Key([], errors=error_bar)


def _error_bar(task: Task) -> Bar:
    end = f"≥ {ERROR_ENDS[task.name]}" if task.name in ERROR_ENDS else "wrong"
    return Bar(data_uri(error_colours(BAR_LENGTH)[None]), "0" if task.name in ERROR_ENDS else "right", end)
