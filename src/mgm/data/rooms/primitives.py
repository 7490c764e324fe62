"""The two kinds of primitives, boxes and quadrics, with exact normals and curvatures.

A primitive is defined in its *unit frame*: world coordinates after a translation, a rotation and a division by its half sizes
``(a, b, c)``. In this frame a box is ``max |p| <= 1`` and a quadric is

    x^2 + y^2 + e z^2 = (1 + s z)^2,    low <= z <= high.

It is an ellipsoid for roundness ``e = 1`` and taper ``s = 0``, and an (elliptic) frustum, cylinder or cone for ``e = 0``, with a
radius from ``1 - s`` at the bottom to ``1 + s`` at the top. Flat caps at ``low`` and ``high`` are optional; without them it is a
thin shell whose inner side is visible too, such as a bowl or a lamp shade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mgm.data.rooms.vectors import dot

COLUMNS = 19
"""Numbers per primitive in the rows for `assemble`."""

Row = tuple[float, ...]
"""Centre (3), half size (3), rotations about x, y, z, is quadric, e, s, low, high, has low cap, has high cap, label, material,
casts shadows."""


@dataclass(frozen=True)
class Primitives:
    """``N`` primitives as arrays: boxes, then quadrics without caps, then quadrics with one or two caps."""

    centre: np.ndarray
    """``[N, 3]`` world position, metres."""
    rotation: np.ndarray
    """``[N, 3, 3]``; rows are the primitive's axes in world coordinates."""
    half: np.ndarray
    """``[N, 3]`` half sizes, metres."""
    roundness: np.ndarray
    taper: np.ndarray
    low: np.ndarray
    high: np.ndarray
    """``[N]`` each: e, s and the range of z of a quadric."""
    cap_radius2: np.ndarray
    """``[N, 2]`` squared radius of the bottom and top cap in the unit frame, -1 without a cap."""
    label: np.ndarray
    """``[N]`` class index."""
    material: np.ndarray
    """``[N]`` row of the material table."""
    casts: np.ndarray
    """``[N]`` bool: casts shadows."""
    num_boxes: int
    num_open: int
    """Number of quadrics without caps."""

    def __len__(self) -> int:
        """Number of primitives."""
        return len(self.centre)

    @property
    def to_unit(self) -> np.ndarray:
        """``[N, 3, 3]``: transforms world directions to the unit frame of each primitive."""
        return self.rotation / self.half[:, :, None]

    def unit_origin(self, origin: np.ndarray) -> np.ndarray:
        """``[N, 3]``: a world point ``[3]`` in the unit frame of each primitive."""
        return np.einsum("nij,nj->ni", self.to_unit, origin - self.centre).astype(np.float32)

    def select(self, keep: np.ndarray) -> Primitives:
        """The primitives where ``keep`` ``[N]`` is true."""
        arrays = {
            field.name: getattr(self, field.name)[keep] for field in fields(self) if not field.name.startswith("num_")
        }
        boxes, rounds = keep[: self.num_boxes], keep[self.num_boxes : self.num_boxes + self.num_open]
        return Primitives(**arrays, num_boxes=int(boxes.sum()), num_open=int(rounds.sum()))


def assemble(rows: Sequence[Row]) -> Primitives:
    """Convert rows (see `Row`) to arrays, sorted by kind, otherwise in the given order."""
    table = np.array(rows, dtype=np.float32).reshape(-1, COLUMNS)
    kind = table[:, 9] * (1 + np.maximum(table[:, 14], table[:, 15]))
    table = table[np.argsort(kind, kind="stable")]
    roundness, taper, low, high = table[:, 10], table[:, 11], table[:, 12], table[:, 13]
    ends = np.stack([low, high], axis=1)
    radius2 = (1 + taper[:, None] * ends) ** 2 - roundness[:, None] * ends**2
    return Primitives(
        centre=table[:, 0:3],
        rotation=_rotations(table[:, 6], table[:, 7], table[:, 8]),
        half=table[:, 3:6],
        roundness=roundness,
        taper=taper,
        low=low,
        high=high,
        cap_radius2=np.where(table[:, 14:16] > 0, radius2, -1).astype(np.float32),
        label=table[:, 16].astype(np.uint8),
        material=table[:, 17].astype(np.int64),
        casts=table[:, 18] > 0,
        num_boxes=int((kind == 0).sum()),
        num_open=int((kind == 1).sum()),
    )


def _rotations(turn_x: np.ndarray, turn_y: np.ndarray, turn_z: np.ndarray) -> np.ndarray:
    """World-to-local rotations ``[N, 3, 3]`` of objects that are rotated about y, then x, then z."""
    sin_x, cos_x = np.sin(turn_x), np.cos(turn_x)
    sin_y, cos_y = np.sin(turn_y), np.cos(turn_y)
    sin_z, cos_z = np.sin(turn_z), np.cos(turn_z)
    axis_x = (cos_z * cos_y - sin_z * sin_x * sin_y, sin_z * cos_y + cos_z * sin_x * sin_y, -cos_x * sin_y)
    axis_y = (-sin_z * cos_x, cos_z * cos_x, sin_x)
    axis_z = (cos_z * sin_y + sin_z * sin_x * cos_y, sin_z * sin_y - cos_z * sin_x * cos_y, cos_x * cos_y)
    return np.stack([np.stack(axis, axis=1) for axis in (axis_x, axis_y, axis_z)], axis=1).astype(np.float32)


def box_geometry(unit: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normals and texture coordinates of points on boxes.

    Args:
        unit: ``[3, n]`` points in the unit frame.
        half: ``[3, n]`` half sizes.

    Returns:
        ``[3, n]`` outward normals in the box's axes, and ``[2, n]`` coordinates on the face in metres from its centre.
    """
    size = np.abs(unit)
    on_x = (size[0] >= size[1]) & (size[0] >= size[2])
    on_y = ~on_x & (size[1] >= size[2])
    on_z = ~(on_x | on_y)
    normal = np.sign(unit) * np.stack([on_x, on_y, on_z])
    metres = unit * half
    return normal, np.stack([np.where(on_x, metres[1], metres[0]), np.where(on_z, metres[1], metres[2])])


def quadric_geometry(
    unit: np.ndarray, half: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normals, texture coordinates and curvatures of points on quadrics.

    For an implicit surface with gradient g and Hessian diag(h), the mean and Gaussian curvature are
    ``H = (|g|^2 sum h - sum h g^2) / (2 |g|^3)`` and ``K = (g1^2 h2 h3 + g2^2 h1 h3 + g3^2 h1 h2) / |g|^4``
    (Goldman, "Curvature formulas for implicit curves and surfaces", CAGD 2005); the principal curvatures are
    ``H +- sqrt(H^2 - K)``.

    Args:
        unit: ``[3, n]`` points in the unit frame.
        half: ``[3, n]`` half sizes.
        shape: ``[6, n]`` e, s, low, high and the squared radii of the caps.

    Returns:
        ``[3, n]`` outward unit normals in the quadric's axes, ``[2, n]`` texture coordinates in metres, and ``[2, n]``
        principal curvatures in 1/m, larger first, positive where the solid is convex.
    """
    x, y, z = unit
    roundness, taper, low, high, cap_low, cap_high = shape
    radius = 1 + taper * z
    gradient = np.stack([x, y, roundness * z - taper * radius]) / half
    hessian = np.stack([np.ones_like(x), np.ones_like(x), roundness - taper**2]) / half**2
    squared = gradient * gradient
    length2 = np.maximum(squared.sum(0), 1e-12)
    mean = (length2 * hessian.sum(0) - dot(hessian, squared)) / (2 * length2 * np.sqrt(length2))
    gauss = (
        squared[0] * hessian[1] * hessian[2]
        + squared[1] * hessian[0] * hessian[2]
        + squared[2] * hessian[0] * hessian[1]
    ) / length2**2
    root = np.sqrt(np.maximum(mean**2 - gauss, 0))
    inside = x * x + y * y + roundness * z * z < radius**2 - 4e-3
    top = inside & (cap_high >= 0) & (np.abs(z - high) < 4e-3)
    bottom = inside & ~top & (cap_low >= 0) & (np.abs(z - low) < 4e-3)
    cap = top | bottom
    normal = np.where(cap, 0, gradient / np.sqrt(length2))
    normal[2] = np.where(top, 1, np.where(bottom, -1, normal[2]))
    angle = np.arctan2(y, x)
    coordinates = np.stack(
        [np.where(cap, x * half[0], angle * half[0]), np.where(cap, y * half[1], z * half[2])],
    )
    curvature = np.where(cap, 0, np.stack([mean + root, mean - root]))
    return normal, coordinates, curvature
