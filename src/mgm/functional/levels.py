"""8-bit levels of images and the numbers that networks see."""

from __future__ import annotations

from jaxtyping import Float, Num
from torch import Tensor

LEVEL_CENTRE = 127.5
"""Level that networks see as 0; levels 0 and 255 are -1 and 1."""


def normalise_levels(levels: Num[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Levels 0 to 255, uint8 or float of any shape, to (-1, 1), float32."""
    return levels.float() / LEVEL_CENTRE - 1
