"""A finished scene: geometry, materials, light and camera, independent of the resolution."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np

from mgm.data.rooms.camera import Camera, choose_camera
from mgm.data.rooms.dice import Dice
from mgm.data.rooms.layouts import build
from mgm.data.rooms.lights import Lighting, choose_lighting
from mgm.data.rooms.materials import MaterialTable
from mgm.data.rooms.primitives import Primitives, assemble
from mgm.data.rooms.room import Room
from mgm.data.rooms.vocabulary import LABEL


@dataclass(frozen=True)
class Scene:
    """Everything that `mgm.data.rooms.render` needs."""

    primitives: Primitives
    casters: Primitives
    """Those of the primitives that throw shadows."""
    room: np.ndarray
    """``[3]`` size of the room, metres."""
    label: np.ndarray
    """``[N + 6]`` class of each surface: the primitives, then the sides of the room."""
    material: np.ndarray
    """``[N + 6]`` material of each surface."""
    table: MaterialTable
    lighting: Lighting
    camera: Camera
    exposure: float
    """Brightness that the camera aims at, for the picture's brighter parts."""
    grain: float
    """Standard deviation of the sensor noise, in [0, 1] picture values."""


def compose(dice: Dice, kind: str) -> Scene:
    """A random scene of the given type."""
    room = build(dice, kind)
    lighting = choose_lighting(dice, room)
    camera = choose_camera(dice, room)
    return finish(room, lighting, camera, exp(dice.uniform(log(0.13), log(1.0))), dice.uniform(0.004, 0.016))


def finish(room: Room, lighting: Lighting, camera: Camera, exposure: float, grain: float) -> Scene:
    """A furnished room, its light and its camera as arrays."""
    primitives = assemble(room.contents.rows)
    sides = np.array([LABEL["wall"]] * 4 + [LABEL["floor"], LABEL["ceiling"]], dtype=np.uint8)
    return Scene(
        primitives=primitives,
        casters=primitives.select(primitives.casts),
        room=np.array(room.size, dtype=np.float32),
        label=np.concatenate([primitives.label, sides]),
        material=np.concatenate([primitives.material, np.array(room.sides)]),
        table=room.materials.table(),
        lighting=lighting,
        camera=camera,
        exposure=exposure,
        grain=grain,
    )
