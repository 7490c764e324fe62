"""The camera: choice of its pose, and the rays of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, hypot, radians, sin, tan

import numpy as np

from mgm.data.rooms.casting import LANES
from mgm.data.rooms.dice import Dice
from mgm.data.rooms.room import Room
from mgm.types import Size

_TILE = 8
"""Side of the pixel blocks whose rays are cast as one group."""
_CANDIDATES = 20


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels."""

    position: np.ndarray
    """``[3]`` metres."""
    axes: np.ndarray
    """``[3, 3]``; rows are right, down and forward in world coordinates."""
    tangent: float
    """Tangent of half the field of view along the longer side of an image."""

    def pixel(self, size: Size) -> float:
        """Size of a pixel at distance 1. An image that is not square shows the middle of the square image."""
        return 2 * self.tangent / max(size)

    def rays(self, x: np.ndarray, y: np.ndarray, size: Size) -> np.ndarray:
        """World directions ``[3, n]`` with forward component 1 through image points; pixel (i, j) is at x=j+0.5, y=i+0.5."""
        scale, (height, width) = np.float32(self.pixel(size)), size
        right = (x.astype(np.float32) - np.float32(width / 2)) * scale
        down = (y.astype(np.float32) - np.float32(height / 2)) * scale
        return self.axes.T[:, 0:1] * right + self.axes.T[:, 1:2] * down + self.axes.T[:, 2:3]


def group(values: np.ndarray) -> np.ndarray:
    """Arrange ``[C, n]`` into groups ``[G, C, LANES]``; the last group is padded with the last column."""
    channels, count = values.shape
    groups = -(-count // LANES)
    padded = np.concatenate([values, np.repeat(values[:, -1:], groups * LANES - count, axis=1)], axis=1)
    return np.ascontiguousarray(padded.reshape(channels, groups, LANES).transpose(1, 0, 2))


def ungroup(values: np.ndarray, count: int) -> np.ndarray:
    """Flatten ``[G, LANES]`` to ``[count]``, the inverse of `group`."""
    return values.reshape(-1)[:count]


@lru_cache(maxsize=8)
def pixel_order(size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order in which the rays of pixels are cast: in blocks of 8 by 8, so that groups are compact.

    Returns:
        Rows and columns ``[height * width]`` in that order, and for each pixel, row by row, its position in that order.
    """
    height, width = size
    down, across = (np.arange(-(-side // _TILE) * _TILE).reshape(-1, _TILE) for side in size)
    rows, columns = np.broadcast_arrays(down[:, None, :, None], across[None, :, None, :])
    rows, columns = rows.reshape(-1), columns.reshape(-1)
    inside = (rows < height) & (columns < width)
    rows, columns = rows[inside], columns[inside]
    return rows, columns, np.argsort(rows * width + columns)


def choose_camera(dice: Dice, room: Room) -> Camera:
    """Choose the best of a few random views: not close to objects, and with many of them visible."""
    tangent = tan(radians(dice.uniform(50, 74)) / 2)
    options = [_candidate(dice, room) for _ in range(_CANDIDATES)]
    positions, axes = np.stack([place for place, _ in options]), np.stack([axes for _, axes in options])
    best = int(np.argmax(_scores(room, positions, axes, tangent)))
    return Camera(positions[best].astype(np.float32), axes[best].astype(np.float32), tangent)


def _candidate(dice: Dice, room: Room) -> tuple[np.ndarray, np.ndarray]:
    """Draw a position, mostly near the walls, and axes that look between an object and the middle, slightly rolled."""
    place, target = [], []
    spot, share = dice.choice(room.spots), dice.uniform(0.3, 0.8)
    for span, goal in ((room.size[0], spot.x), (room.size[1], spot.y)):
        gap = 0.25 + dice.uniform(0, 1) ** 2 * 0.42 * (span - 0.5)
        place.append(gap if dice.chance(0.5) else span - gap)
        target.append(share * span / 2 + (1 - share) * goal + dice.uniform(-0.3, 0.3))
    height = dice.uniform(1.0, min(2.0, room.size[2] - 0.35))
    x, y = target[0] - place[0], target[1] - place[1]
    level = max(hypot(x, y), 1e-3)
    slope = min(max((dice.uniform(0.45, 1.25) - height) / max(level, 0.5), -0.6), 0.2)
    length = hypot(1.0, slope)
    forward = (x / level / length, y / level / length, slope / length)
    right = (y / level, -x / level, 0.0)
    down = (forward[2] * x / level, forward[2] * y / level, -1 / length)
    roll = radians(dice.uniform(-4, 4))
    c, s = cos(roll), sin(roll)
    turned = [(c * r + s * d, c * d - s * r) for r, d in zip(right, down, strict=True)]
    axes = np.array([[r for r, _ in turned], [d for _, d in turned], forward])
    return np.array([*place, height]), axes


def _scores(room: Room, positions: np.ndarray, axes: np.ndarray, tangent: float) -> np.ndarray:
    """Score of each view ``[V]``: visible classes and objects, minus penalties for near obstacles; very low inside an object.

    Args:
        room: The furnished room.
        positions: ``[V, 3]`` metres.
        axes: ``[V, 3, 3]`` as in `Camera`.
        tangent: As in `Camera`.
    """
    bounds = np.array(room.occupied or [(0.0,) * 6])
    low, high = bounds[:, 0::2], bounds[:, 1::2]
    place, turn = positions[:, None], axes.transpose(0, 2, 1)
    gap = np.sqrt((np.maximum(np.maximum(low - place, place - high), 0) ** 2).sum(2))
    middle = ((low + high) / 2 - place) @ turn
    ahead = (middle[..., 2] > 0) & (np.hypot(middle[..., 0], middle[..., 1]) < middle[..., 2] * tangent)
    objects = (np.array([(s.x, s.y, s.z + s.model.height / 2) for s in room.spots]) - place) @ turn
    limit = objects[..., 2] * tangent
    seen = (limit > 0.4) & (np.abs(objects[..., 0]) < limit) & (np.abs(objects[..., 1]) < 1.1 * limit)
    labels = [spot.model.label for spot in room.spots]
    variety = [len({label for label, visible in zip(labels, row, strict=True) if visible}) for row in seen.tolist()]
    tall = high[:, 2] > place[..., 2] - 0.25
    near = 100.0 * (gap < 0.22).sum(1) + 2.5 * (ahead & (gap < 0.7)).sum(1) + 3.0 * (ahead & tall & (gap < 1.1)).sum(1)
    return 1.2 * np.array(variety) + 0.25 * seen.sum(1) - near
