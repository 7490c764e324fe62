"""Procedural textures, filtered by the size of a pixel on the surface, so that fine details fade out instead of aliasing.

A texture maps surface coordinates to a mixing weight between the two colours of a material, and a brightness factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

_TABLE = 128
"""Side of the noise table; one cell is one unit in noise coordinates."""


@dataclass(frozen=True)
class Patch:
    """``n`` points of one texture kind, as float32 arrays ``[n]``."""

    u: np.ndarray
    v: np.ndarray
    """Texture coordinates in periods of the pattern."""
    blur: np.ndarray
    """Size of a pixel in periods of the pattern."""
    contrast: np.ndarray
    """Strength of the pattern, set by the material."""


Weights = tuple[np.ndarray, np.ndarray]
"""``[n]`` mixing weight in [0, 1] (0: first colour) and ``[n]`` brightness factor."""


@lru_cache(maxsize=1)
def noise_table() -> np.ndarray:
    """``[_TABLE, _TABLE]`` periodic random numbers in [0, 1], the same in every process."""
    return np.random.default_rng(20190701).random((_TABLE, _TABLE), dtype=np.float32)


@lru_cache(maxsize=1)
def _lattice() -> np.ndarray:
    """``[4, _TABLE * _TABLE]``: `noise_table`, its differences to the next column, and both for the next row."""
    table = noise_table()
    steps = np.roll(table, -1, axis=1) - table
    below = [np.roll(values, -1, axis=0) for values in (table, steps)]
    return np.stack([table, steps, *below]).reshape(4, -1)


def noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Smooth value noise in [0, 1] with features one unit wide (lattice noise with cubic interpolation)."""
    floor_u, floor_v = np.floor(u), np.floor(v)
    place = floor_v.astype(np.int32) & (_TABLE - 1)
    place *= _TABLE
    place += floor_u.astype(np.int32) & (_TABLE - 1)
    fu, fv = np.subtract(u, floor_u, out=floor_u), np.subtract(v, floor_v, out=floor_v)
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    table, step, table_below, step_below = _lattice()
    upper, rise = table.take(place), step.take(place)
    rise *= fu
    upper += rise
    lower, rise = table_below.take(place), step_below.take(place)
    rise *= fu
    lower += rise
    lower -= upper
    lower *= fv
    upper += lower
    return upper


def cell(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A random number in [0, 1] for each unit square."""
    index = (np.floor(v).astype(np.int32) * 57 & (_TABLE - 1)) * _TABLE + (
        np.floor(u).astype(np.int32) * 131 & (_TABLE - 1)
    )
    return noise_table().ravel()[index]


def fade(blur: np.ndarray) -> np.ndarray:
    """Visibility of a pattern of period 1 at a pixel size ``blur``: 1 for small pixels (up to 0.2), 0 from 0.6 on."""
    return np.clip(1.5 - 2.5 * blur, 0, 1)


def pulse(x: np.ndarray, duty: float | np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Fraction of a pixel covered by pulses of width ``duty`` that start at every integer (exact box filter)."""
    width = np.maximum(blur, 1e-3)

    def integral(position: np.ndarray) -> np.ndarray:
        whole = np.floor(position)
        return whole * duty + np.minimum(position - whole, duty)

    return (integral(x + 0.5 * width) - integral(x - 0.5 * width)) / width


def _plain(p: Patch) -> Weights:
    shade = 1 + p.contrast * (noise(p.u, p.v) - 0.5)
    return np.zeros_like(p.u), shade


def _plaster(p: Patch) -> Weights:
    fine = noise(p.u * 9, p.v * 9) - 0.5
    shade = 1 + p.contrast * (fine * fade(p.blur * 6) + 0.6 * (noise(p.u, p.v) - 0.5))
    return np.clip(noise(p.u * 0.7 + 31, p.v * 0.7) - 0.45, 0, 1), shade


def _wood(p: Patch) -> Weights:
    bend = noise(p.u * 0.35, p.v * 1.5)
    ring = 0.5 + 0.5 * np.sin(6.2832 * (p.v * 1.5 + 2.2 * bend))
    fibre = noise(p.u * 3, p.v * 24) - 0.5
    keep = fade(p.blur * 2.5)
    return p.contrast * (0.5 + (ring - 0.5) * keep), 1 + 0.35 * p.contrast * fibre * fade(p.blur * 12)


def _planks(p: Patch) -> Weights:
    row = np.floor(p.v)
    along = p.u * 0.22 + noise_table()[7, row.astype(np.int32) & (_TABLE - 1)] * 5
    board = cell(along, p.v)
    grain = noise(p.u * 1.3 + 17 * board, p.v * 9)
    gap = np.maximum(pulse(p.v - 0.02, 0.05, p.blur), pulse(along - 0.005, 0.012, p.blur * 0.22))
    weight = p.contrast * np.clip(0.65 * board + 0.7 * (grain - 0.5) * fade(p.blur * 4) + 0.15, 0, 1)
    return weight, (1 - 0.5 * gap) * (0.9 + 0.2 * board)


def _tiles(p: Patch) -> Weights:
    grout = np.maximum(pulse(p.u, 0.05, p.blur), pulse(p.v, 0.05, p.blur))
    tone = 1 + 0.35 * p.contrast * (cell(p.u, p.v) - 0.5) * fade(p.blur * 0.7)
    return grout, tone + 0.1 * p.contrast * (noise(p.u * 3, p.v * 3) - 0.5)


def _checks(p: Patch) -> Weights:
    a, b = pulse(p.u, 0.5, p.blur), pulse(p.v, 0.5, p.blur)
    return p.contrast * (a + b - 2 * a * b), 1 + 0.1 * (noise(p.u * 2, p.v * 2) - 0.5)


def _stripes(p: Patch) -> Weights:
    return p.contrast * pulse(p.u, 0.45, p.blur), 1 + 0.06 * (noise(p.u * 5, p.v * 5) - 0.5)


def _plaid(p: Patch) -> Weights:
    a, b = pulse(p.u, 0.4, p.blur), pulse(p.v, 0.4, p.blur)
    thin = np.maximum(pulse(p.u + 0.3, 0.08, p.blur), pulse(p.v + 0.3, 0.08, p.blur))
    return p.contrast * 0.5 * (a + b), 1 - 0.35 * thin


def _marble(p: Patch) -> Weights:
    turbulence = noise(p.u, p.v) + 0.5 * noise(p.u * 2.3 + 9, p.v * 2.3) + 0.25 * noise(p.u * 5.1, p.v * 5.1 + 3)
    vein = np.abs(np.sin(3.1416 * (0.6 * p.u + 0.4 * p.v + 2.4 * turbulence)))
    return p.contrast * (1 - vein) ** 3, 1 + 0.12 * (turbulence - 0.9)


def _fabric(p: Patch) -> Weights:
    weave = noise(p.u * 11, p.v * 3) + noise(p.u * 3, p.v * 11) - 1
    shade = 1 + p.contrast * (0.6 * weave * fade(p.blur * 7) + 0.4 * (noise(p.u * 0.8, p.v * 0.8) - 0.5))
    return 0.3 * noise(p.u * 1.5, p.v * 1.5), shade


def _bricks(p: Patch) -> Weights:
    u = p.u + 0.5 * (np.floor(p.v * 3) % 2)
    v = p.v * 3
    grout = np.maximum(pulse(u, 0.05, p.blur), pulse(v, 0.13, p.blur * 3))
    return grout, 1 + p.contrast * ((cell(u, v) - 0.5) * fade(p.blur) + 0.4 * (noise(u * 5, v * 5) - 0.5))


def _blobs(p: Patch) -> Weights:
    field = noise(p.u, p.v) + 0.4 * noise(p.u * 2.7 + 5, p.v * 2.7)
    return p.contrast * np.clip((field - 0.66) / (0.04 + p.blur), 0, 1), 0.8 + 0.5 * noise(p.u * 0.6 + 40, p.v * 0.6)


def _dots(p: Patch) -> Weights:
    u = p.u + 0.5 * (np.floor(p.v) % 2)
    distance = np.hypot(u - np.floor(u) - 0.5, p.v - np.floor(p.v) - 0.5)
    return p.contrast * np.clip(0.5 + (0.26 - distance) / (0.02 + p.blur), 0, 1), np.ones_like(u)


def _panels(p: Patch) -> Weights:
    """One raised panel per period: wood grain inside a dark groove."""
    edge = np.minimum(0.5 - np.abs(p.u - np.floor(p.u) - 0.5), 0.5 - np.abs(p.v - np.floor(p.v) - 0.5))
    groove = np.clip(1 - np.abs(edge - 0.12) / (0.02 + 0.6 * p.blur), 0, 1) * np.clip(1.2 - 2 * p.blur, 0, 1)
    return p.contrast * noise(p.u * 3, p.v * 1.5), 1 - 0.4 * groove


def _outdoors(p: Patch) -> Weights:
    """Sky above an uneven horizon, trees below; v = 0 is the centre of the pane."""
    horizon = -0.25 + 0.5 * noise(p.u * 3, np.full_like(p.v, 0.5)) + 0.12 * noise(p.u * 14, p.v * 14)
    trees = np.clip((horizon - p.v) / 0.06, 0, 1)
    return trees, 1 - trees * 0.7 * noise(p.u * 11, p.v * 11) + 0.15 * (noise(p.u * 2, p.v * 4) - 0.5)


def _print(p: Patch) -> Weights:
    """Lines of text or icons on a page or screen."""
    line = pulse(p.v, 0.55, p.blur)
    word = np.clip((noise(p.u * 2.3 + 7 * np.floor(p.v), np.floor(p.v) + 0.5) - 0.38) / (0.1 + p.blur), 0, 1)
    return p.contrast * line * word * (noise(np.floor(p.v) * 0.37, p.u * 0.02) > 0.3), np.ones_like(p.u)


def _landscape(p: Patch) -> Weights:
    """Hills under a sky, for paintings; v = 0 is the centre."""
    ridge = 0.5 * noise(p.u * 1.7, np.full_like(p.u, 3.5)) - 0.25
    near = np.clip((ridge - p.v) / (0.03 + p.blur), 0, 1)
    return p.contrast * near, 1 + 0.5 * p.v + 0.5 * near * (noise(p.u * 6, p.v * 9) - 0.5)


TEXTURES: dict[str, Callable[[Patch], Weights]] = {
    texture.__name__.removeprefix("_"): texture
    for texture in (
        _plain, _plaster, _wood, _planks, _tiles, _checks, _stripes, _plaid, _marble,
        _fabric, _bricks, _blobs, _dots, _panels, _outdoors, _print, _landscape,
    )
}  # fmt: skip
"""Texture name -> function that evaluates it on a patch."""
