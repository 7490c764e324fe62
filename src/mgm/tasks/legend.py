"""Legends of coloured predictions, as data that figures and web pages each draw in their own way."""

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
    """Fraction of the shown pixels, in [0, 1]."""


@dataclass(frozen=True)
class ColourScale:
    """A colour bar and the labels at its ends."""

    colours: np.ndarray
    """``[N, 3]`` uint8, from the low to the high end."""
    low: str
    high: str


@dataclass(frozen=True)
class Legend:
    """Everything needed to read the coloured images of one task. Fields that do not apply to it are empty."""

    title: str
    errors: ColourScale
    """Colours of error maps."""
    classes: tuple[ClassColour, ...] = ()
    """Classes that occur, the most frequent first."""
    scale: ColourScale | None = None
    picture: np.ndarray | None = None
    """``[S, S, 4]`` uint8 RGBA: a small image that explains the colours of vectors."""
    text: str = ""
    """A short note, such as the range of the values."""
    unlabelled: float = 0.0
    """Fraction of the pixels without a value, which are drawn in dark grey."""
