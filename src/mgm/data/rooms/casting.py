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
_BITE = 128
"""Pairs solved at once: their arrays stay in the processor's cache."""
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
    reach = np.sqrt((rays * rays).sum(1).max(1))
    mask = _candidates(primitives, origin, rays, reach)
    for group, _, found in _solve(primitives, origin, rays, mask):
        starts = _starts(group)
        blocked[group[starts]] |= np.logical_or.reduceat(found < 1, starts, axis=0)
    return blocked


def _room_sides(room: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the walls, floor and ceiling from inside, and which of the six it is."""
    positive = rays > 0
    size = np.abs(rays) + _TINY
    target = np.where(positive, (room - origin)[:, None], origin[:, None])
    steps = target / size
    axis = steps.argmin(1)
    distance = steps.min(1).astype(np.float32)
    towards = np.take_along_axis(positive, axis[:, None, :], 1)[:, 0]
    return distance, 2 * axis + towards


def _candidates(
    primitives: Primitives, origin: np.ndarray, rays: np.ndarray, reach: np.ndarray | None
) -> np.ndarray:
    """``[G, N]`` bool: pairs of a group and a primitive that may meet. ``reach`` ``[G]`` bounds the rays' lengths."""
    axis = rays.mean(2)
    axis /= np.sqrt((axis * axis).sum(1, keepdims=True)) + _TINY
    along = np.matmul(axis[:, None, :], rays)[:, 0]
    cosine2 = (np.maximum(along, 0) ** 2 / ((rays * rays).sum(1) + _TINY)).min(1)
    tangent = np.sqrt((1 - cosine2).clip(0) / (cosine2 + 1e-6)) + np.float32(1e-4)

    offset = origin - primitives.centre
    extent = np.sqrt((offset * offset).sum(1)) + np.sqrt((primitives.half**2).sum(1))
    local_origin = np.einsum("nij,nj->in", primitives.rotation, offset)
    frames = primitives.rotation.transpose(2, 1, 0).reshape(3, -1)
    inverse = (axis @ frames).reshape(len(axis), 3, -1)
    inverse = 1 / np.where(np.abs(inverse) < _TINY, _TINY, inverse)
    middle = local_origin * inverse
    np.abs(inverse, out=inverse)
    inverse *= primitives.half.T + (tangent[:, None] * extent)[:, None, :]
    near = -(middle + inverse).min(1)
    far = (inverse - middle).min(1)
    mask = (near <= far) & (far > 0)
    if reach is not None:
        mask &= near <= reach[:, None]
    mask |= (tangent > _WIDE)[:, None]
    return mask


def _solve(
    primitives: Primitives, origin: np.ndarray, rays: np.ndarray, mask: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Distances ``[P, LANES]`` for the pairs of ``mask``, with their groups and primitives ``[P]``, in bites."""
    count = primitives.num_boxes
    unit_origin, to_unit = primitives.unit_origin(origin), primitives.to_unit
    for solve, first, last in ((_solve_boxes, 0, count), (_solve_quadrics, count, len(primitives))):
        groups, indices = np.nonzero(mask[:, first:last])
        indices += first
        for start in range(0, len(groups), _BITE):
            group, index = groups[start : start + _BITE], indices[start : start + _BITE]
            yield group, index, solve(primitives, index, unit_origin[index], to_unit[index] @ rays[group])


def _starts(group: np.ndarray) -> np.ndarray:
    """Where a new group begins in sorted group numbers."""
    return np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))


def _solve_boxes(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Distances ``[P, LANES]`` to boxes by the slab method, infinite without a hit; unit-frame inputs."""
    del primitives, index
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / rays
        middle = origin[:, :, None] * inverse
    np.abs(inverse, out=inverse)
    enter = middle + inverse
    np.subtract(inverse, middle, out=inverse)
    near = -np.fmin(np.fmin(enter[:, 0], enter[:, 1]), enter[:, 2])
    far = np.fmin(np.fmin(inverse[:, 0], inverse[:, 1]), inverse[:, 2])
    return np.where((near < far) & (near > _NEAR), near, np.float32(np.inf))


def _solve_quadrics(primitives: Primitives, index: np.ndarray, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Distances ``[P, LANES]`` to quadrics and their caps, infinite without a hit; unit-frame inputs."""
    e, s = primitives.roundness[index, None], primitives.taper[index, None]
    low, high = primitives.low[index, None], primitives.high[index, None]
    cap = primitives.cap_radius2[index]
    ox, oy, oz = origin[:, 0, None], origin[:, 1, None], origin[:, 2, None]
    dx, dy, dz = rays[:, 0], rays[:, 1], rays[:, 2]
    radius = 1 + s * oz
    square = dx * dx + dy * dy + (e - s * s) * (dz * dz)
    linear = ox * dx + oy * dy + (e * oz - s * radius) * dz
    constant = ox * ox + oy * oy + e * oz * oz - radius * radius
    root = linear * linear - square * constant
    missed = root < 0
    np.sqrt(np.maximum(root, 0, out=root), out=root)
    infinite = np.float32(np.inf)
    best = np.full_like(root, infinite)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The stable form: q has no cancellation, the roots are q / square and constant / q.
        q = -(linear + np.copysign(root, linear))
        for step in (q / square, constant / q):
            height = oz + step * dz
            valid = (height >= low) & (height <= high) & (step > _NEAR) & ~missed
            best = np.where(valid, np.minimum(best, step), best)
        for end, limit in ((low, cap[:, 0:1]), (high, cap[:, 1:2])):
            step = (end - oz) / dz
            across2 = (ox + step * dx) ** 2 + (oy + step * dy) ** 2
            best = np.where((across2 <= limit) & (step > _NEAR), np.minimum(best, step), best)
    return best


def _keep_nearest(
    distance: np.ndarray, surface: np.ndarray, group: np.ndarray, index: np.ndarray, found: np.ndarray
) -> None:
    """Update ``distance`` and ``surface`` with the hits ``found`` ``[P, LANES]`` of pairs sorted by group."""
    starts = _starts(group)
    groups = group[starts]
    best = np.minimum.reduceat(found, starts, axis=0)
    improved = best < distance[groups]
    distance[groups] = np.where(improved, best, distance[groups])
    wanted = np.where(improved, best, np.float32(-1))
    pair, lane = np.nonzero(found == np.repeat(wanted, np.diff(starts, append=len(group)), axis=0))
    surface[group[pair], lane] = index[pair]
