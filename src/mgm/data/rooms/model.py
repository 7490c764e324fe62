"""Objects composed of primitives."""

from __future__ import annotations

from math import cos, sin

from mgm.data.rooms.primitives import Row
from mgm.data.rooms.vocabulary import LABEL

Point = tuple[float, float, float]


class Model:
    """An object under construction. Axes in metres: x along its width, y from back to front, z up.

    The origin of furniture is on the floor in the middle of its back, so that an object at the origin touches the wall y = 0.
    """

    def __init__(self, label: str, width: float = 0.0, depth: float = 0.0, height: float = 0.0) -> None:
        self.label = label
        self.width = width
        self.depth = depth
        self.height = height
        self.rows: list[Row] = []

    def box(
        self,
        material: int,
        centre: Point,
        size: Point,
        turn: Point = (0.0, 0.0, 0.0),
        label: str | None = None,
        casts: bool = True,
    ) -> None:
        """Add a box of the given size, rotated about its own y, then x, then z axis; ``turn`` gives the angles about x, y, z."""
        half = (max(size[0], 2e-3) / 2, max(size[1], 2e-3) / 2, max(size[2], 2e-3) / 2)
        shape = (0.0, 0.0, 0.0, -1.0, 1.0, 0.0, 0.0)
        self.rows.append((*centre, *half, *turn, *shape, LABEL[label or self.label], material, float(casts)))

    def tube(
        self,
        material: int,
        centre: Point,
        radius: float | tuple[float, float],
        height: float,
        taper: float = 0.0,
        caps: tuple[bool, bool] = (True, True),
        turn: Point = (0.0, 0.0, 0.0),
        label: str | None = None,
        casts: bool = True,
    ) -> None:
        """Add a cylinder, cone or frustum of mean radius ``radius``, which is ``1 + taper`` times as large at the top.

        ``caps`` tells whether bottom and top are closed.
        """
        radii = radius if isinstance(radius, tuple) else (radius, radius)
        shape = (1.0, 0.0, taper, -1.0, 1.0, float(caps[0]), float(caps[1]))
        half = (*radii, height / 2)
        self.rows.append((*centre, *half, *turn, *shape, LABEL[label or self.label], material, float(casts)))

    def rod(
        self, material: int, centre: Point, radius: float, length: float, turn: Point = (0.0, 0.0, 0.0), label: str = ""
    ) -> None:
        """Add a thin tube without caps."""
        self.tube(material, centre, radius, length, 0.0, (False, False), turn, label or self.label)

    def ball(
        self,
        material: int,
        centre: Point,
        radii: float | Point,
        low: float = -1.0,
        high: float = 1.0,
        lid: bool = False,
        turn: Point = (0.0, 0.0, 0.0),
        label: str | None = None,
        casts: bool = True,
    ) -> None:
        """Add an ellipsoid, or its part between ``low`` and ``high`` (-1 to 1), which is open, or closed with ``lid``."""
        half = radii if isinstance(radii, tuple) else (radii, radii, radii)
        shape = (1.0, 1.0, 0.0, low, high, float(lid), float(lid))
        self.rows.append((*centre, *half, *turn, *shape, LABEL[label or self.label], material, float(casts)))

    def legs(self, material: int, width: float, depth: float, height: float, thick: float, round_legs: bool) -> None:
        """Add four legs under the corners of a ``width`` by ``depth`` top whose back is at y = 0."""
        inset = thick * 0.8
        for x in (-width / 2 + inset, width / 2 - inset):
            for y in (inset, depth - inset):
                if round_legs:
                    self.tube(material, (x, y, height / 2), thick / 2, height, 0.2, (False, False))
                else:
                    self.box(material, (x, y, height / 2), (thick, thick, height))

    def attach(self, other: Model, place: Point, yaw: float = 0.0) -> None:
        """Add another object's primitives, rotated by ``yaw`` about its origin and moved to ``place``."""
        c, s = cos(yaw), sin(yaw)
        x0, y0, z0 = place
        for row in other.rows:
            x, y = row[0], row[1]
            moved = (x0 + c * x - s * y, y0 + s * x + c * y, z0 + row[2])
            self.rows.append((*moved, *row[3:8], row[8] + yaw, *row[9:]))
