"""Ray casting: rays from one point, in groups of neighbouring rays, against all primitives.

Most pairs of group and primitive are rejected by testing the group's middle ray against the primitive's bounding box, enlarged by
the radius of the group's cone at that distance (conservative: no hit is lost). The remaining pairs are solved exactly, in batches.
Primary rays start at the camera and shadow rays at the light, so the same code serves both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mgm.data.rooms.primitives import Primitives

LANES = 64
"""Rays per group."""
_NEAR = 1e-3
_TINY = np.float32(1e-9)
_BITE = 256
"""Number of pairs solved at once, so that their arrays stay in the processor's cache. Do not change it: it decides which of several
coinciding surfaces is visible, and so changes images."""
_WIDE = np.float32(3.0)
"""Groups whose cone has a larger tangent than this are tested against all primitives."""


def nearest(
    primitives: Primitives, room: np.ndarray, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the first surface along each ray.

    Args:
        primitives: The contents of the room.
        room: ``[3]`` size of the room in metres; it is a closed box with one corner at 0.
        origin: ``[3]`` common origin of the rays, inside the room.
        rays: ``[G, 3, LANES]`` directions of any length.

    Returns:
        ``[G, LANES]`` distances in units of the ray's length, and ``[G, LANES]`` surfaces: the index of the primitive, or
        ``len(primitives)`` + 0..5 for the sides of the room x=0, x=max, y=0, y=max, z=0, z=max.
    """
    distance, surface = _room_sides(room, origin, rays)
    surface += len(primitives)
    mask = _candidates(primitives, origin, rays, None)
    for group, index, found in _solve(primitives, origin, rays, mask):
        _keep_nearest(distance, surface, group, index, found)
    return distance, surface


def occluded(primitives: Primitives, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Whether a primitive is between ``origin`` and the end of each ray.

    Args:
        primitives: Primitives that may block the rays.
        origin: ``[3]`` position of the light.
        rays: ``[G, 3, LANES]`` vectors from the light to the lit points.

    Returns:
        ``[G, LANES]`` bool.
    """
    blocked = np.zeros((rays.shape[0], rays.shape[2]), dtype=bool)
    if not len(primitives):
        return blocked
    reach = np.sqrt(_length2(rays).max(1))
    mask = _candidates(primitives, origin, rays, reach)
    for group, _, found in _solve(primitives, origin, rays, mask):
        starts = _starts(group)
        blocked[group[starts]] |= np.logical_or.reduceat(found < 1, starts, axis=0)
    return blocked


def _room_sides(room: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the first side of the room (walls, floor, ceiling) along each ray, and its number 0..5."""
    distance, surface = np.full(rays[:, 0].shape, np.float32(np.inf)), np.zeros(rays[:, 0].shape, dtype=np.int32)
    for axis in range(3):
        inverse = 1 / (rays[:, axis] + _TINY)
        low, high = (0 - origin[axis]) * inverse, (room[axis] - origin[axis]) * inverse
        step = np.maximum(low, high)
        closer = step < distance
        np.minimum(distance, step, out=distance)
        np.copyto(surface, 2 * axis + (high > low), where=closer, casting="unsafe")
    return distance, surface


def _candidates(primitives: Primitives, origin: np.ndarray, rays: np.ndarray, reach: np.ndarray | None) -> np.ndarray:
    """``[G, N]`` bool: pairs of group and primitive that may intersect. ``reach`` ``[G]`` is the maximum length of the rays."""
    axis = rays.mean(2)
    axis /= np.sqrt((axis * axis).sum(1, keepdims=True)) + _TINY
    along = axis[:, 0:1] * rays[:, 0] + axis[:, 1:2] * rays[:, 1] + axis[:, 2:3] * rays[:, 2]
    cosine = (along / np.sqrt(_length2(rays))).min(1).clip(1e-3)
    tangent = np.sqrt((1 - cosine * cosine).clip(0)) / cosine + np.float32(1e-3)

    offset = origin - primitives.centre
    extent = np.sqrt((offset * offset).sum(1)) + np.sqrt((primitives.half**2).sum(1))
    margin = tangent[:, None] * extent
    near = far = np.float32(np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for side in range(3):
            frame = primitives.rotation[:, side]
            inverse = 1 / (axis @ frame.T)
            middle = (frame * offset).sum(1) * inverse
            np.abs(inverse, out=inverse)
            inverse *= margin + primitives.half[:, side]
            near = np.fmin(near, middle + inverse)
            far = np.fmin(far, inverse - middle)
    mask = (near + far >= 0) & (far > 0)
    if reach is not None:
        mask &= near >= -reach[:, None]
    mask |= (tangent > _WIDE)[:, None]
    return mask


def _length2(rays: np.ndarray) -> np.ndarray:
    """Squared lengths ``[G, LANES]``."""
    return rays[:, 0] * rays[:, 0] + rays[:, 1] * rays[:, 1] + rays[:, 2] * rays[:, 2]


def _solve(
    primitives: Primitives, origin: np.ndarray, rays: np.ndarray, mask: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, in batches, groups and primitives ``[P]`` of the pairs in ``mask`` that intersect, and distances ``[P, LANES]``."""
    unit_origin, to_unit = primitives.unit_origin(origin), primitives.to_unit
    limits = (0, primitives.num_boxes, primitives.num_boxes + primitives.num_open, len(primitives))
    for solve, first, last in zip((_solve_boxes, _solve_open, _solve_capped), limits, limits[1:], strict=False):
        flat = np.flatnonzero(mask[:, first:last])
        groups = flat // max(last - first, 1)
        indices = flat - groups * (last - first) + first
        for start in range(0, len(groups), _BITE):
            group, index = groups[start : start + _BITE], indices[start : start + _BITE]
            local = to_unit[index] @ np.take(rays, group, axis=0)
            meet, found = solve(primitives, index, unit_origin[index, :, None], local)
            if len(meet):
                yield group[meet], index[meet], found


def _starts(group: np.ndarray) -> np.ndarray:
    """Positions in sorted group numbers at which a new group begins."""
    return np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))


Found = tuple[np.ndarray, np.ndarray]
"""Rows ``[M]`` of the pairs that intersect, and their distances ``[M, LANES]``, infinite for rays without a hit."""


def _solve_boxes(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> Found:
    """Intersect boxes by the slab method; ``origin`` ``[P, 3, 1]`` and ``rays`` ``[P, 3, LANES]`` are in the unit frame."""
    del primitives, index
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.divide(1, rays, out=rays)
        middle = origin * inverse
        np.abs(inverse, out=inverse)
        enter = np.add(middle, inverse)
        leave = np.subtract(inverse, middle, out=inverse)
        near = np.fmin(np.fmin(enter[:, 0], enter[:, 1]), enter[:, 2])
        far = np.fmin(np.fmin(leave[:, 0], leave[:, 1]), leave[:, 2])
        far += near
        meet = np.flatnonzero((far > 0).any(axis=1))
        near = near[meet]
        return meet, np.where((far[meet] > 0) & (near < -_NEAR), -near, np.float32(np.inf))


def _solve_open(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> Found:
    """Intersect the curved surfaces of quadrics; inputs as in `_solve_boxes`."""
    e, s = primitives.roundness[index, None], primitives.taper[index, None]
    ox, oy, oz = origin[:, 0], origin[:, 1], origin[:, 2]
    dx, dy, dz = rays[:, 0], rays[:, 1], rays[:, 2]
    radius = 1 + s * oz
    square = dx * dx + dy * dy + (e - s * s) * (dz * dz)
    linear = ox * dx + oy * dy + (e * oz - s * radius) * dz
    constant = ox * ox + oy * oy + e * oz * oz - radius * radius
    discriminant = linear * linear - square * constant
    meet = np.flatnonzero((discriminant >= 0).any(axis=1))
    low, high = primitives.low[index[meet], None], primitives.high[index[meet], None]
    oz, dz, square, linear, constant = (values[meet] for values in (oz, dz, square, linear, constant))
    best = np.full_like(linear, np.float32(np.inf))
    with np.errstate(divide="ignore", invalid="ignore"):
        # a negative discriminant gives NaN, for which all comparisons below are false
        root = np.sqrt(discriminant[meet])
        # numerically stable form: q is free of cancellation, and the roots are q / square and constant / q
        q = -(linear + np.copysign(root, linear))
        for step in (q / square, constant / q):
            height = oz + step * dz
            valid = (height >= low) & (height <= high) & (step > _NEAR) & (step < best)
            best = np.where(valid, step, best)
    return meet, best


def _solve_capped(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> Found:
    """Intersect quadrics and their flat caps; inputs as in `_solve_boxes`."""
    best = np.full_like(rays[:, 0], np.float32(np.inf))
    meet, curved = _solve_open(primitives, index, origin, rays)
    best[meet] = curved
    inverse = 1 / (rays[:, 2] + _TINY)
    ends = (primitives.low[index, None], primitives.high[index, None])
    for end, limit in zip(ends, primitives.cap_radius2[index].T[:, :, None], strict=True):
        step = (end - origin[:, 2]) * inverse
        x, y = origin[:, 0] + step * rays[:, 0], origin[:, 1] + step * rays[:, 1]
        best = np.where((x * x + y * y <= limit) & (step > _NEAR) & (step < best), step, best)
    return np.arange(len(index)), best


def _keep_nearest(
    distance: np.ndarray, surface: np.ndarray, group: np.ndarray, index: np.ndarray, found: np.ndarray
) -> None:
    """Update ``distance`` and ``surface`` with the hits ``found`` ``[P, LANES]`` of pairs sorted by group."""
    starts = _starts(group)
    groups = group[starts]
    best = np.minimum.reduceat(found, starts, axis=0)
    before = distance[groups]
    distance[groups] = np.minimum(best, before)
    wanted = np.where(best < before, best, np.float32(-1))
    won = np.flatnonzero(found == np.repeat(wanted, np.diff(starts, append=len(group)), axis=0))
    pair = won // LANES
    surface.reshape(-1)[group[pair] * LANES + won % LANES] = index[pair]
