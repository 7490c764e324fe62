"""8-bit levels of pictures and the numbers that networks see."""

from __future__ import annotations

from torch import Tensor

LEVEL_CENTRE = 127.5
"""Level that networks see as 0; levels 0 and 255 are -1 and 1."""


def normalise_levels(levels: Tensor) -> Tensor:
    """Levels 0 to 255 to (-1, 1).

    Args:
        levels: Any shape, uint8 or float.

    Returns:
        Same shape, float32.
    """
    return levels.float() / LEVEL_CENTRE - 1
