"""The camera: where it stands, where it looks, and the rays of its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from math import radians, tan

import numpy as np

from mgm.data.rooms.casting import LANES
from mgm.data.rooms.dice import Dice
from mgm.data.rooms.room import Room

_TILE = 8
"""Side of the pixel blocks that are cast as one group."""
_CANDIDATES = 14


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels and equal fields of view."""

    position: np.ndarray
    """``[3]`` metres."""
    axes: np.ndarray
    """``[3, 3]``; rows are right, down and forward in world coordinates."""
    tangent: float
    """Tangent of half the field of view."""

    def rays(self, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
        """World directions ``[3, n]`` whose forward part is 1, through image points (pixel (i, j) is at j + 0.5, i + 0.5)."""
        scale = np.float32(2 * self.tangent / size)
        right = (x.astype(np.float32) - np.float32(size / 2)) * scale
        down = (y.astype(np.float32) - np.float32(size / 2)) * scale
        return self.axes.T[:, 0:1] * right + self.axes.T[:, 1:2] * down + self.axes.T[:, 2:3]


def group(values: np.ndarray) -> np.ndarray:
    """``[C, n]`` to groups ``[G, C, LANES]``; the last group is filled up with the last column."""
    channels, count = values.shape
    groups = -(-count // LANES)
    padded = np.concatenate([values, np.repeat(values[:, -1:], groups * LANES - count, axis=1)], axis=1)
    return np.ascontiguousarray(padded.reshape(channels, groups, LANES).transpose(1, 0, 2))


def ungroup(values: np.ndarray, count: int) -> np.ndarray:
    """``[G, LANES]`` to ``[count]``, the inverse of `group`."""
    return values.reshape(-1)[:count]


def pixel_order(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns ``[size * size]`` of the pixels, block by block of 8 by 8, so that groups are compact."""
    blocks = -(-size // _TILE)
    index = np.arange(blocks * _TILE).reshape(blocks, _TILE)
    rows, columns = np.broadcast_arrays(index[:, None, :, None], index[None, :, None, :])
    rows, columns = rows.reshape(-1), columns.reshape(-1)
    inside = (rows < size) & (columns < size)
    return rows[inside], columns[inside]


def choose_camera(dice: Dice, room: Room) -> Camera:
    """The best of a few random views: inside the room, clear of objects, with many of them in sight."""
    tangent = tan(radians(dice.uniform(50, 74)) / 2)
    options = [_candidate(dice, room) for _ in range(_CANDIDATES)]
    scores = [_score(room, position, axes, tangent) for position, axes in options]
    position, axes = options[int(np.argmax(scores))]
    return Camera(position.astype(np.float32), axes.astype(np.float32), tangent)


def _candidate(dice: Dice, room: Room) -> tuple[np.ndarray, np.ndarray]:
    """A position, mostly near the walls, and a direction towards an object or the middle, slightly rolled."""
    width, length, height = room.size
    sides = [dice.uniform(0, 1) ** 2 * 0.42 for _ in range(2)]
    x, y = (0.25 + share * (span - 0.5) for share, span in zip(sides, (width, length), strict=True))
    x, y = (width - x if dice.chance(0.5) else x), (length - y if dice.chance(0.5) else y)
    position = np.array([x, y, dice.uniform(1.0, min(2.0, height - 0.35))])
    spot = dice.choice(room.spots)
    share = dice.uniform(0.3, 0.8)
    target = np.array(
        [
            share * width / 2 + (1 - share) * spot.x + dice.uniform(-0.3, 0.3),
            share * length / 2 + (1 - share) * spot.y + dice.uniform(-0.3, 0.3),
            dice.uniform(0.45, 1.25),
        ]
    )
    forward = target - position
    forward[2] = np.clip(forward[2], -0.55, 0.2) * 1.0 if np.hypot(*forward[:2]) > 0.5 else -0.3
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = radians(dice.uniform(-4, 4))
    turned = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    return position, np.stack([*turned, forward])


def _score(room: Room, position: np.ndarray, axes: np.ndarray, tangent: float) -> float:
    """Objects in sight, less for near obstacles; very low inside an object."""
    bounds = np.array(room.occupied or [(0, 0, 0, 0, 0, 0)])
    low, high = bounds[:, 0::2], bounds[:, 1::2]
    gap = np.linalg.norm(np.maximum(np.maximum(low - position, position - high), 0), axis=1)
    score = -100.0 * float((gap < 0.22).sum())
    places = np.array([(s.x, s.y, s.z + s.model.height / 2) for s in room.spots]) - position
    right, down, forward = axes @ places.T
    seen = (forward > 0.7) & (np.abs(right) < forward * tangent) & (np.abs(down) < 1.1 * forward * tangent)
    labels = {spot.model.label for spot, visible in zip(room.spots, seen, strict=True) if visible}
    middle = axes @ ((low + high) / 2 - position).T
    ahead = (middle[2] > 0) & (np.hypot(middle[0], middle[1]) < middle[2] * tangent)
    score -= 2.5 * float((ahead & (gap < 0.7)).sum())
    return score + 1.2 * len(labels) + 0.25 * float(seen.sum())
