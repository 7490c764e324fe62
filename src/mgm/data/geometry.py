"""Surface normals from depth.

The inverse depth of a plane ``n . P = k`` seen by a pinhole camera is linear in a pixel's ray ``(u, v, 1)``: ``P = z (u, v, 1)``
gives ``1 / z = (n_x u + n_y v + n_z) / k``. A plane is therefore fitted to a neighbourhood by ordinary least squares of ``1 / z``
on ``(u, v, 1)``; the coefficients are the normal up to length and sign. Badino, Huber, Park, Kanade: Fast and Accurate
Computation of Surface Normals from Range Images, ICRA 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import radians, tan

import numpy as np

RADIUS_PX = 10
"""Half the side of the square neighbourhood, for an image of 640 x 480 pixels."""
TOLERANCE = 0.06
"""A neighbour belongs to another surface if its depth differs by more than this fraction."""
MIN_SUPPORT = 0.15
"""Minimum fraction of the neighbourhood that must belong to the surface."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: focal lengths and principal point in pixels, with pixel centres at integers."""

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def from_field_of_view(cls, degrees: float, height: int, width: int) -> Intrinsics:
        """Camera with square pixels and a centred principal point, from its horizontal field of view in (0, 180) degrees."""
        focal = width / 2 / tan(radians(degrees) / 2)
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2)

    def back_project(self, depth: np.ndarray) -> np.ndarray:
        """3D points ``[H, W, 3]`` in the camera frame (x right, y down, z forward) from depth ``[H, W]`` along the optical axis."""
        rows, columns = np.indices(depth.shape, dtype=depth.dtype)
        return np.stack(((columns - self.cx) / self.fx * depth, (rows - self.cy) / self.fy * depth, depth), axis=-1)

    def scaled(self, horizontal: float, vertical: float) -> Intrinsics:
        """The camera of a resized image, given the ratios of new to old width and height."""
        return Intrinsics(
            self.fx * horizontal,
            self.fy * vertical,
            (self.cx + 0.5) * horizontal - 0.5,
            (self.cy + 0.5) * vertical - 0.5,
        )


NYUV2_CAMERA = Intrinsics(518.857901, 519.469611, 325.582449, 253.736166)
"""Colour camera of NYU Depth V2 for 640 x 480 pixels."""


def normals_from_depth(
    depth: np.ndarray,
    camera: Intrinsics,
    *,
    rows: np.ndarray | None = None,
    columns: np.ndarray | None = None,
    radius: int = RADIUS_PX,
) -> np.ndarray:
    """Surface normals by fitting a plane to each pixel's neighbours on the same surface.

    A second fit uses only the neighbours near the first plane, which matters along edges and on steep surfaces.

    Args:
        depth: ``[H, W]`` metres along the optical axis; values that are not positive and finite are unknown.
        camera: Intrinsics of this depth map.
        rows: Rows to compute; all by default.
        columns: Columns to compute; all by default.
        radius: Half the side of the square neighbourhood in pixels, at least 1.

    Returns:
        ``[3, rows, columns]`` float32 unit vectors (x right, y down, z forward) that face the camera: their dot product with
        the ray is negative. NaN where depth is unknown or too few neighbours agree.
    """
    rows = np.arange(depth.shape[0]) if rows is None else rows
    columns = np.arange(depth.shape[1]) if columns is None else columns
    known = np.isfinite(depth) & (depth > 0)
    inverse = np.zeros(depth.shape)
    np.divide(1.0, depth, out=inverse, where=known)
    window = _Window(np.pad(inverse, radius), rows + radius, columns + radius, radius, camera)
    plane, support = window.fit(np.zeros((3, len(rows), len(columns))), 2 * TOLERANCE)
    refined, support = window.fit(plane, TOLERANCE / 2, fallback=(plane, support))
    good = (support >= max(3, MIN_SUPPORT * (2 * radius + 1) ** 2)) & known[np.ix_(rows, columns)]
    # the fit is relative to the pixel's ray: convert (a, b, value at the pixel) to (a, b, c) of a u + b v + c
    u, v = (columns - camera.cx) / camera.fx, ((rows - camera.cy) / camera.fy)[:, None]
    normal = np.stack([refined[0], refined[1], refined[2] - refined[0] * u - refined[1] * v])
    length = np.linalg.norm(normal, axis=0)
    good &= (length > 0) & (refined[2] > 0)
    return np.where(good, -normal / np.where(length > 0, length, 1), np.nan).astype(np.float32)


class _Window:
    """Least-squares plane fits over square neighbourhoods of chosen pixels; coordinates are relative to the pixel's own ray."""

    def __init__(
        self, inverse: np.ndarray, rows: np.ndarray, columns: np.ndarray, radius: int, camera: Intrinsics
    ) -> None:
        self._inverse, self._rows, self._columns, self._radius, self._camera = inverse, rows, columns, radius, camera
        self._centre = inverse[np.ix_(rows, columns)]

    def fit(
        self, guess: np.ndarray, tolerance: float, fallback: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit ``1 / z = a du + b dv + c`` to the neighbours whose inverse depth is close to that of a guessed plane.

        Args:
            guess: ``[3, h, w]`` slopes a, b of a plane through the pixel itself; the third entry is unused.
            tolerance: Largest difference, as a fraction of the pixel's inverse depth.
            fallback: Result to return where the neighbours do not determine a plane.

        Returns:
            Coefficients ``[3, h, w]`` and the number of neighbours used ``[h, w]``.
        """
        sums = np.zeros((9, *self._centre.shape))
        count, su, sv, suu, suv, svv, sw, suw, svw = sums
        limit = tolerance * self._centre
        for down in range(-self._radius, self._radius + 1):
            dv = down / self._camera.fy
            for right in range(-self._radius, self._radius + 1):
                du = right / self._camera.fx
                value = self._inverse[np.ix_(self._rows + down, self._columns + right)]
                step = value - self._centre
                near = (value > 0) & (np.abs(step - guess[0] * du - guess[1] * dv) <= limit)
                weight = near.astype(float)
                step *= weight
                count += weight
                su += du * weight
                sv += dv * weight
                suu += du * du * weight
                suv += du * dv * weight
                svv += dv * dv * weight
                sw += step
                suw += du * step
                svw += dv * step
        plane, solvable = _solve(sums)
        plane[2] += self._centre
        if fallback is None:
            return plane, np.where(solvable, count, 0)
        return np.where(solvable, plane, fallback[0]), np.where(solvable, count, fallback[1])


def _solve(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solve the normal equations of a plane, given ``[9, h, w]`` sums over the neighbours of 1, u, v, uu, uv, vv, w, uw, vw.

    Returns slopes and value at the pixel ``[3, h, w]``, and a mask ``[h, w]`` of the pixels whose neighbours determine a plane.
    """
    count, su, sv, suu, suv, svv, sw, suw, svw = sums
    total = np.maximum(count, 1)
    mean_u, mean_v, mean_w = su / total, sv / total, sw / total
    uu, uv, vv = suu - su * mean_u, suv - su * mean_v, svv - sv * mean_v
    uw, vw = suw - su * mean_w, svw - sv * mean_w
    determinant = uu * vv - uv * uv
    solvable = (count >= 3) & (determinant > 1e-6 * np.maximum(uu, vv) ** 2)
    safe = np.where(solvable, determinant, 1)
    a, b = (vv * uw - uv * vw) / safe, (uu * vw - uv * uw) / safe
    return np.stack([a, b, mean_w - a * mean_u - b * mean_v]), solvable
