"""Complete scenes: geometry, materials, light and camera, independent of the resolution."""

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
    """The primitives that cast shadows."""
    room: np.ndarray
    """``[3]`` size of the room, metres."""
    label: np.ndarray
    """``[N + 6]`` class of each surface: the primitives, then the six sides of the room."""
    material: np.ndarray
    """``[N + 6]`` material of each surface."""
    table: MaterialTable
    lighting: Lighting
    camera: Camera
    exposure: float
    """Target brightness of the brighter parts of the image."""
    grain: float
    """Standard deviation of the sensor noise, for image values in [0, 1]."""


def compose(dice: Dice, kind: str) -> Scene:
    """Draw a random scene of the given type."""
    room = build(dice, kind)
    lighting = choose_lighting(dice, room)
    camera = choose_camera(dice, room)
    return finish(room, lighting, camera, exp(dice.uniform(log(0.13), log(1.0))), dice.uniform(0.004, 0.016))


def finish(room: Room, lighting: Lighting, camera: Camera, exposure: float, grain: float) -> Scene:
    """Convert a furnished room, its light and its camera to a `Scene` of arrays."""
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
