"""Light sources of a room: lamps, windows, the sun, and ambient light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.room import Opening, Room

_SUN_DISTANCE = 60.0


@dataclass(frozen=True)
class Light:
    """A point light."""

    position: np.ndarray
    """``[3]`` metres."""
    colour: np.ndarray
    """``[3]`` irradiance at a distance of 1 m; for the sun, at any distance."""
    facing: np.ndarray | None = None
    """``[3]`` main direction of the light of a window, which falls off with the cosine; None: equal in all directions."""
    shadows: bool = True
    """Whether it casts shadows; False for secondary lights, which are assumed to be broad and soft."""
    opening: Opening | None = None
    """The window through which sunlight enters; None: not the sun."""


@dataclass(frozen=True)
class Lighting:
    """All light in a room."""

    lights: tuple[Light, ...]
    above: np.ndarray
    below: np.ndarray
    """``[3]`` ambient light on surfaces that face up (``above``) and down (``below``)."""


def choose_lighting(dice: Dice, room: Room) -> Lighting:
    """Draw the light of a room: lamps, daylight or both, of random colour and strength."""
    width, length, height = room.size
    lights: list[Light] = []
    lamps = room.lamps or [(width * dice.uniform(0.2, 0.8), length * dice.uniform(0.2, 0.8), height - 0.15)]
    scale = max(1.0, (width * length) ** 0.5 / 2.6)
    by_day = bool(room.openings) and dice.chance(0.4)
    for number, place in enumerate(lamps[:2]):
        main = number == 0 and not by_day
        strength = dice.uniform(0.8, 3.2) * scale * (1.0 if main else 0.45)
        colour = _warmth(dice) * strength
        lights.append(Light(np.array(place, dtype=np.float32), colour.astype(np.float32), shadows=main))
    if room.openings:
        opening = dice.choice(room.openings)
        middle, inward = _opening_frame(room, opening)
        sky = np.array([0.8, 0.92, 1.1]) * dice.uniform(1.5, 4.5) * scale * (1.5 if by_day else 0.5)
        place = (middle - 0.35 * inward).astype(np.float32)
        lights.append(Light(place, sky.astype(np.float32), inward.astype(np.float32), shadows=by_day))
    if room.openings and dice.chance(0.45):
        lights.append(_sun(dice, room, dice.choice(room.openings)))
    ambient = dice.uniform(0.12, 0.42)
    above = _warmth(dice, 0.15) * ambient * dice.uniform(0.9, 1.3)
    below = _warmth(dice, 0.3) * ambient * dice.uniform(0.5, 0.9)
    return Lighting(tuple(lights), above.astype(np.float32), below.astype(np.float32))


def _warmth(dice: Dice, most: float = 0.35) -> np.ndarray:
    """Random white between warm and cold, ``[3]``."""
    shift = dice.uniform(-most / 2, most)
    return np.array([1 + 0.5 * shift, 1.0, 1 - shift])


def _opening_frame(room: Room, opening: Opening) -> tuple[np.ndarray, np.ndarray]:
    """Centre of a window and the direction into the room, ``[3]`` each."""
    width, length, _ = room.size
    x, y = ((opening.along, 0.0), (width, opening.along), (opening.along, length), (0.0, opening.along))[opening.wall]
    inward = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))[opening.wall]
    return np.array([x, y, (opening.bottom + opening.top) / 2]), np.array(inward)


def _sun(dice: Dice, room: Room, opening: Opening) -> Light:
    """Sunlight that enters through a window."""
    middle, inward = _opening_frame(room, opening)
    aside = np.array([-inward[1], inward[0], 0.0])
    towards = -inward + aside * dice.uniform(-0.9, 0.9) + np.array([0, 0, dice.uniform(0.45, 1.2)])
    towards /= np.linalg.norm(towards)
    colour = np.array([1.0, 0.9, 0.72]) * dice.uniform(1.5, 4.0)
    position = (middle + _SUN_DISTANCE * towards).astype(np.float32)
    return Light(position, colour.astype(np.float32), opening=opening)


def through_opening(light: Light, room: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Fraction ``[n]`` of the sun's disc visible from points ``[3, n]`` through the light's window, except behind its bar."""
    opening = light.opening
    if opening is None:
        return np.ones(point.shape[1], dtype=np.float32)
    plane = (0.0, room[0], room[1], 0.0)[opening.wall]
    axis = 1 if opening.wall % 2 == 0 else 0
    towards = light.position[:, None] - point
    step = (plane - point[axis]) / np.where(np.abs(towards[axis]) < 1e-6, 1e-6, towards[axis])
    along = point[1 - axis] + step * towards[1 - axis]
    height = point[2] + step * towards[2]
    soft = np.float32(0.02)
    sideways = (opening.half_width - np.abs(along - opening.along)) / soft
    upright = np.minimum(height - opening.bottom, opening.top - height) / soft
    bar = (np.abs(along - opening.along) - 0.02) / soft
    return np.clip(np.minimum(np.minimum(sideways, upright), bar), 0, 1).astype(np.float32)
