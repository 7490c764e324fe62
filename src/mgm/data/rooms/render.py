"""Shading: the surfaces hit by rays, and the light they reflect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mgm.data.rooms.camera import group, ungroup
from mgm.data.rooms.casting import nearest, occluded
from mgm.data.rooms.lights import Light, through_opening
from mgm.data.rooms.primitives import Primitives, box_geometry, quadric_geometry
from mgm.data.rooms.scene import Scene
from mgm.data.rooms.vectors import dot, length, pick

_DIM = 0.02
"""Irradiance below which shadows are not computed, because they would be invisible."""


@dataclass(frozen=True)
class Hits:
    """End points of ``n`` rays."""

    surface: np.ndarray
    """``[n]`` index into the scene's surfaces."""
    distance: np.ndarray
    """``[n]`` in units of the ray's length: z-depth in metres for camera rays."""
    point: np.ndarray
    """``[3, n]`` world position, metres."""
    normal: np.ndarray
    """``[3, n]`` unit normal on the side that the ray comes from."""
    coordinates: np.ndarray
    """``[2, n]`` texture coordinates, metres."""
    curvature: np.ndarray
    """``[2, n]`` principal curvatures in 1/m, larger first, positive where the surface is convex towards the viewer."""


def cast(scene: Scene, primitives: Primitives, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance and surface ``[n]`` of the first hits of rays ``[3, n]`` from one origin.

    Surfaces are indices of ``primitives``, followed by the room's sides.
    """
    distance, surface = nearest(primitives, scene.room, origin, group(rays))
    return ungroup(distance, rays.shape[1]), ungroup(surface, rays.shape[1])


def locate(
    primitives: Primitives, origin: np.ndarray, rays: np.ndarray, distance: np.ndarray, surface: np.ndarray
) -> Hits:
    """Geometry at the hit points of rays; see `cast`."""
    point = origin[:, None] + distance * rays
    normal, coordinates = np.zeros_like(point), np.zeros_like(point[:2])
    curvature = np.zeros_like(coordinates)
    _locate_sides(surface - len(primitives), point, normal, coordinates)
    boxes = np.flatnonzero(surface < primitives.num_boxes)
    quadrics = np.flatnonzero((surface >= primitives.num_boxes) & (surface < len(primitives)))
    for points, solid in ((boxes, False), (quadrics, True)):
        if not len(points):
            continue
        index = surface[points]
        half = pick(primitives.half.T, index)
        rotation = pick(primitives.rotation.reshape(-1, 9).T, index).reshape(3, 3, -1)
        offset = pick(point, points) - pick(primitives.centre.T, index)
        unit = np.stack([dot(axis, offset) for axis in rotation]) / half
        if solid:
            shape = np.stack([primitives.roundness, primitives.taper, primitives.low, primitives.high])
            shape = pick(np.concatenate([shape, primitives.cap_radius2.T]), index)
            local, coordinates[:, points], bend = quadric_geometry(unit, half, shape)
        else:
            local, coordinates[:, points] = box_geometry(unit, half)
            bend = None
        outward = np.stack([dot(axis, local) for axis in rotation.swapaxes(0, 1)])
        hidden = dot(outward, pick(rays, points)) > 0
        normal[:, points] = outward * np.where(hidden, np.float32(-1), np.float32(1))
        if bend is not None:
            curvature[:, points] = np.where(hidden, -bend[::-1], bend)
    return Hits(surface, distance, point, normal, coordinates, curvature)


def _locate_sides(side: np.ndarray, point: np.ndarray, normal: np.ndarray, coordinates: np.ndarray) -> None:
    """Fill in normals and texture coordinates of points on the room's sides; ``side`` is negative elsewhere."""
    for axis, (u, v) in enumerate(((1, 2), (0, 2), (0, 1))):
        points = np.flatnonzero(side >> 1 == axis)
        normal[axis, points] = 1.0 - 2.0 * (side[points] & 1)
        coordinates[0, points] = point[u, points]
        coordinates[1, points] = point[v, points]


def radiance(scene: Scene, origin: np.ndarray, rays: np.ndarray, hits: Hits, pixel: float) -> np.ndarray:
    """Radiance ``[3, n]`` (linear RGB) received along the rays, including reflections in mirrors.

    Args:
        scene: The scene.
        origin: ``[3]`` position of the camera.
        rays: ``[3, n]`` directions.
        hits: Hit points of the rays.
        pixel: Size of a pixel at distance 1.
    """
    material = scene.material[hits.surface]
    light = _shade(scene, origin, rays, hits, material, pixel)
    glass = scene.table.specular[material] < 0
    for mirror in np.unique(hits.surface[glass]):
        points = np.flatnonzero(hits.surface == mirror)
        normal = hits.normal[:, points[0]]
        facing = points[normal @ hits.normal[:, points] > 0.999]
        behind = 2 * (normal @ (hits.point[:, facing[0]] - origin))
        image, direction = origin + behind * normal, rays[:, facing]
        direction = direction - 2 * (normal @ direction) * normal[:, None]
        keep = (scene.primitives.centre - hits.point[:, facing[0]]) @ normal > 0.04
        others, image = scene.primitives.select(keep), image.astype(np.float32)
        seen = locate(others, image, direction, *cast(scene, others, image, direction))
        surface = np.concatenate([np.flatnonzero(keep), np.arange(6) + len(scene.primitives)])[seen.surface]
        shown = _shade(scene, image, direction, seen, scene.material[surface], pixel)
        light[:, facing] = 0.04 * light[:, facing] + 0.82 * shown
    return light


def _shade(
    scene: Scene, origin: np.ndarray, rays: np.ndarray, hits: Hits, material: np.ndarray, pixel: float
) -> np.ndarray:
    """Radiance ``[3, n]`` of the hit points: Lambertian reflection and Blinn highlights, with shadows."""
    table, lighting = scene.table, scene.lighting
    view = rays / -length(rays)
    cosine = np.maximum(dot(view, hits.normal), 0.05)
    albedo = table.albedo(material, hits.coordinates, hits.distance * np.float32(pixel) / np.sqrt(cosine))
    up = 0.5 + 0.5 * hits.normal[2]
    ambient = lighting.below[:, None] + (lighting.above - lighting.below)[:, None] * up
    diffuse = ambient * _openness(scene.room, hits)
    shine = np.zeros_like(diffuse)
    specular, gloss = np.maximum(table.specular[material], 0), table.gloss[material]
    for light in lighting.lights:
        received, towards = _received(scene, light, hits)
        diffuse += light.colour[:, None] * received
        halfway = towards + view
        cosine = np.maximum(dot(halfway, hits.normal), 0) / (length(halfway) + np.float32(1e-6))
        lobe = specular * np.exp(gloss * (2 * cosine - 2))
        shine += light.colour[:, None] * (lobe * received)
    return albedo * (diffuse + table.glow[material]) + shine


def _received(scene: Scene, light: Light, hits: Hits) -> tuple[np.ndarray, np.ndarray]:
    """Fraction ``[n]`` of a light that reaches the hit points, including shadows, and directions ``[3, n]`` to the light."""
    towards = light.position[:, None] - hits.point
    distance2 = dot(towards, towards)
    towards /= np.sqrt(distance2)
    received = np.maximum(dot(towards, hits.normal), 0)
    if light.opening is None:
        received /= distance2 + np.float32(0.4)
    else:
        received *= through_opening(light, scene.room, hits.point)
    if light.facing is not None:
        received *= np.clip(-(light.facing @ towards), 0, 1)
    if not light.shadows:
        return received, towards
    lit = np.flatnonzero(received * light.colour.max() > _DIM)
    if len(lit):
        ends = pick(hits.point, lit) + np.float32(4e-3) * pick(hits.normal, lit) - light.position[:, None]
        hidden = ungroup(occluded(scene.casters, light.position, group(ends)), len(lit))
        received[lit] *= ~hidden
    return received, towards


def _openness(room: np.ndarray, hits: Hits) -> np.ndarray:
    """Fraction ``[n]`` of the ambient light that reaches the hit points: less near walls, floor and ceiling that they face."""
    share = np.ones_like(hits.distance)
    for axis in range(3):
        for gap, facing in ((hits.point[axis], -1.0), (room[axis] - hits.point[axis], 1.0)):
            share *= 1 - np.float32(0.3) * np.exp(gap * np.float32(-3.5)) * (1 + np.float32(facing) * hits.normal[axis])
    return share
