"""What the colours of a task mean, as data that figures and web pages draw in their own ways."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassColour:
    """A class in a legend."""

    name: str
    colour: tuple[int, int, int]
    """RGB, 0 to 255."""
    share: float
    """Share of the pixels that the legend is about, in [0, 1]."""


@dataclass(frozen=True)
class ColourScale:
    """A colour bar and the values at its ends."""

    colours: np.ndarray
    """``[N, 3]`` uint8, from the low to the high end."""
    low: str
    high: str


@dataclass(frozen=True)
class Legend:
    """All that is needed to read the pictures of one task. What does not apply to it is empty."""

    title: str
    errors: ColourScale
    """Colours of error maps."""
    classes: tuple[ClassColour, ...] = ()
    """Classes that occur, the most frequent first."""
    scale: ColourScale | None = None
    picture: np.ndarray | None = None
    """``[S, S, 4]`` uint8 RGBA: a small picture that explains the colours of vectors."""
    text: str = ""
    """A short note, such as the range of the values."""
    unlabelled: float = 0.0
    """Share of the pixels without a value, which are drawn in dark grey."""
