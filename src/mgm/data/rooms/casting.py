"""Ray casting in groups: rays that leave one point, in groups of nearby ones, against all primitives.

Most of the pairs (ray, primitive) are ruled out a group at a time: the group's middle ray is tested against the
primitive's box, widened by the radius that the group's cone has at that distance (conservative, no hit is lost). The
remaining pairs (group, primitive) are then solved exactly, all at once. Primary rays leave the camera, shadow rays
leave the light, so one routine serves both.
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
"""Pairs solved at once: their arrays stay in the processor's cache. Where surfaces coincide, the first bite is seen, and the last
of a bite: another number, other pictures."""
_WIDE = np.float32(3.0)
"""Groups whose cone is wider than this tangent are tested against everything."""


def nearest(
    primitives: Primitives, room: np.ndarray, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First surface along each ray.

    Args:
        primitives: The contents of the room.
        room: ``[3]`` size of the room, a closed box from 0 to here, metres.
        origin: ``[3]`` where all rays start, inside the room.
        rays: ``[G, 3, LANES]`` directions of any length.

    Returns:
        ``[G, LANES]`` distances in units of the ray's length, and ``[G, LANES]`` surfaces: the primitive's index, or
        ``len(primitives)`` + 0..5 for the sides of the room x=0, x=max, y=0, y=max, z=0, z=max.
    """
    distance, surface = _room_sides(room, origin, rays)
    surface += len(primitives)
    mask = _candidates(primitives, origin, rays, None)
    for group, index, found in _solve(primitives, origin, rays, mask):
        _keep_nearest(distance, surface, group, index, found)
    return distance, surface


def occluded(primitives: Primitives, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Whether something lies between ``origin`` and the rays' ends.

    Args:
        primitives: What may be in the way.
        origin: ``[3]`` the light.
        rays: ``[G, 3, LANES]`` from the light to the lit points.

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
    """Distance to the walls, floor and ceiling from inside, and which of the six it is."""
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
    """``[G, N]`` bool: pairs of a group and a primitive that may meet. ``reach`` ``[G]`` bounds the rays' lengths."""
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
    """Groups and primitives ``[P]`` of the pairs of ``mask`` that meet, with their distances ``[P, LANES]``, in bites."""
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
    """Positions at which a new group begins in sorted group numbers."""
    return np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))


Found = tuple[np.ndarray, np.ndarray]
"""Rows of the pairs that meet ``[M]``, and the distances ``[M, LANES]``, infinite without a hit."""


def _solve_boxes(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> Found:
    """Boxes by the slab method; unit-frame inputs ``[P, 3, 1]`` and ``[P, 3, LANES]``."""
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
    """The curved surface of quadrics; unit-frame inputs."""
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
        # A negative discriminant gives NaN, which fails every comparison below.
        root = np.sqrt(discriminant[meet])
        # The stable form: q has no cancellation, the roots are q / square and constant / q.
        q = -(linear + np.copysign(root, linear))
        for step in (q / square, constant / q):
            height = oz + step * dz
            valid = (height >= low) & (height <= high) & (step > _NEAR) & (step < best)
            best = np.where(valid, step, best)
    return meet, best


def _solve_capped(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> Found:
    """Quadrics and their flat caps; unit-frame inputs."""
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
