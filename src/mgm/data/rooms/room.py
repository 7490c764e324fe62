"""Rooms under construction, in which objects are placed without overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

from mgm.data.rooms.dice import Dice
from mgm.data.rooms.materials import Materials
from mgm.data.rooms.model import Model, Point

Bounds = tuple[float, float, float, float, float, float]
"""x0, x1, y0, y1, z0, z1 in metres."""


@dataclass(frozen=True)
class Spot:
    """Position and orientation of an object: its front faces +y rotated by ``yaw``, counter-clockwise seen from above."""

    model: Model
    x: float
    y: float
    z: float
    yaw: float
    wall: int = -1

    @property
    def along(self) -> float:
        """Coordinate along its wall."""
        return self.x if self.wall % 2 == 0 else self.y

    def world(self, along: float, ahead: float) -> tuple[float, float]:
        """World x and y of a point given in the object's frame: ``along`` its x axis, and ``ahead`` of its back."""
        c, s = cos(self.yaw), sin(self.yaw)
        return self.x + c * along - s * ahead, self.y + s * along + c * ahead


@dataclass(frozen=True)
class Opening:
    """A window's rectangle in its wall."""

    wall: int
    along: float
    """Centre, along the wall's axis."""
    half_width: float
    bottom: float
    top: float


class Room:
    """A closed box from (0, 0, 0) to ``size`` in metres, with its materials, objects and openings.

    Walls are numbered 0: y = 0, 1: x = max, 2: y = max, 3: x = 0.
    """

    def __init__(self, dice: Dice, width: float, length: float, height: float) -> None:
        self.dice = dice
        self.materials = Materials(dice)
        self.size = (width, length, height)
        self.contents = Model("otherprop")
        self.occupied: list[Bounds] = []
        self.spots: list[Spot] = []
        self.openings: list[Opening] = []
        self.lamps: list[Point] = []
        self.sides: tuple[int, ...] = ()

    def paint_sides(self, hard_floor: bool, tiled: bool) -> None:
        """Draw the materials of the six sides: x=0, x=max, y=0, y=max, floor, ceiling."""
        dice, materials = self.dice, self.materials
        wall = materials.tiles() if tiled else materials.paint()
        sides = [wall] * 4
        if dice.chance(0.3):
            sides[dice.integer(0, 3)] = materials.paint()
        light = materials.near((0.8, 0.79, 0.77), 0.15) if dice.chance(0.75) else materials.colour(0.2, 0.85, 0.5)
        ceiling = materials.add("plaster", light, scale=(0.4, 0.4), contrast=dice.uniform(0.02, 0.12))
        if dice.chance(0.15):
            ceiling = materials.wood("planks")
        elif dice.chance(0.12):
            ceiling = materials.add("tiles", light, materials.near(light, 0.4), (0.6, 0.6), 0.3, upright=True)
        self.sides = (*sides, materials.flooring(hard_floor), ceiling)
        if dice.chance(0.7):
            self._skirting()

    def _skirting(self) -> None:
        board, (width, length, _) = self.materials.furniture(), self.size
        tall = self.dice.uniform(0.06, 0.14)
        for wall in range(4):
            span = width if wall % 2 == 0 else length
            model = Model("wall")
            model.box(board, (0, 0.006, tall / 2), (span, 0.012, tall), casts=False)
            x, y, yaw = self._on_wall(wall, span / 2)
            self.contents.attach(model, (x, y, 0), yaw)

    def span(self, wall: int) -> float:
        """Length of a wall."""
        return self.size[0] if wall % 2 == 0 else self.size[1]

    def _on_wall(self, wall: int, along: float) -> tuple[float, float, float]:
        width, length, _ = self.size
        return ((along, 0.0, 0.0), (width, along, pi / 2), (along, length, pi), (0.0, along, -pi / 2))[wall]

    def put(self, spot: Spot, solid: bool = True, margin: float = 0.0) -> bool:
        """Add an object; return False instead if it is ``solid`` and outside the room or within ``margin`` of another object."""
        bounds = self._bounds(spot)
        grown = (bounds[0] - margin, bounds[1] + margin, bounds[2] - margin, bounds[3] + margin, *bounds[4:])
        if solid and not (self._inside(bounds) and self._free(grown)):
            return False
        self.contents.attach(spot.model, (spot.x, spot.y, spot.z), spot.yaw)
        self.spots.append(spot)
        if solid:
            self.occupied.append(bounds)
        return True

    def _bounds(self, spot: Spot) -> Bounds:
        model, half = spot.model, spot.model.width / 2
        corners = [spot.world(x, y) for x in (-half, half) for y in (0, model.depth)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), max(xs), min(ys), max(ys), spot.z, spot.z + model.height

    def _inside(self, bounds: Bounds) -> bool:
        width, length, height = self.size
        x0, x1, y0, y1, _, z1 = bounds
        return x0 > -0.01 and y0 > -0.01 and x1 < width + 0.01 and y1 < length + 0.01 and z1 < height + 0.01

    def _free(self, bounds: Bounds) -> bool:
        x0, x1, y0, y1, z0, z1 = bounds
        return not any(
            x0 < b[1] and b[0] < x1 and y0 < b[3] and b[2] < y1 and z0 < b[5] and b[4] < z1 for b in self.occupied
        )

    def against_wall(
        self,
        model: Model,
        z: float = 0.0,
        walls: Sequence[int] = (0, 1, 2, 3),
        gap: float = 0.005,
        clear: float = 0.0,
        corner: bool = False,
    ) -> Spot | None:
        """Put an object with its back to a wall at a random free position; None if none was found.

        Args:
            model: The object.
            z: Height of its origin.
            walls: Numbers of the allowed walls.
            gap: Distance from the wall.
            clear: Depth of the area in front of it that is kept empty.
            corner: Whether to put it into a corner.
        """
        dice = self.dice
        for _ in range(16):
            wall = dice.choice(walls)
            low, high = model.width / 2 + 0.02, self.span(wall) - model.width / 2 - 0.02
            if low > high:
                continue
            along = dice.choice((low, high)) if corner else dice.uniform(low, high)
            spot = self.at_wall(model, wall, along, z, gap)
            if spot and clear:
                front = Model("otherprop", model.width, model.depth + clear, model.height)
                self.occupied.append(self._bounds(Spot(front, spot.x, spot.y, spot.z, spot.yaw)))
            if spot:
                return spot
        return None

    def perhaps(
        self, probability: float, make: Callable[[Dice, Materials], Model], gap: float = 0.005, corner: bool = False
    ) -> Spot | None:
        """With the given probability, make an object and put it `against_wall`."""
        if not self.dice.chance(probability):
            return None
        return self.against_wall(make(self.dice, self.materials), gap=gap, corner=corner)

    def at_wall(self, model: Model, wall: int, along: float, z: float = 0.0, gap: float = 0.005) -> Spot | None:
        """Put an object with its back to a wall at the given position; None if that is not free."""
        x, y, yaw = self._on_wall(wall, along)
        spot = Spot(model, x - sin(yaw) * gap, y + cos(yaw) * gap, z, yaw, wall)
        return spot if self.put(spot) else None

    def free(self, model: Model, reach: float = 0.6, turn: float = 0.3, margin: float = 0.1) -> Spot | None:
        """Put an object within ``reach`` of the centre of the room (1: anywhere); None if no free position was found."""
        dice, (width, length, _) = self.dice, self.size
        for _ in range(10):
            yaw = dice.choice((0, pi / 2, pi, -pi / 2)) + dice.uniform(-turn, turn)
            x = width * (0.5 + 0.5 * reach * dice.uniform(-1, 1))
            y = length * (0.5 + 0.5 * reach * dice.uniform(-1, 1))
            half = model.depth / 2
            spot = Spot(model, x + sin(yaw) * half, y - cos(yaw) * half, 0.0, yaw)
            if self.put(spot, margin=margin):
                return spot
        return None

    def facing(self, model: Model, spot: Spot, along: float, distance: float, turn: float = 0.15) -> Spot | None:
        """Put an object in front of another one and facing it, ``distance`` from back to back; None if that is not free."""
        x, y = spot.world(along, distance)
        yaw = spot.yaw + pi + self.dice.uniform(-turn, turn)
        placed = Spot(model, x, y, 0.0, yaw)
        return placed if self.put(placed) else None

    def on_top(self, model: Model, spot: Spot, along: float, ahead: float, yaw: float = 0.0) -> None:
        """Put a small object on top of another one."""
        x, y = spot.world(along, ahead)
        place = (x, y, spot.z + spot.model.height)
        self.contents.attach(model, place, spot.yaw + yaw)
        self.spots.append(Spot(model, *place, spot.yaw + yaw))
