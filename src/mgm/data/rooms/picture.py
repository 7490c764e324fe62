"""Image and labels of a scene: sampling, anti-aliasing, exposure, sensor."""

from __future__ import annotations

import numpy as np

from mgm.data.rooms.camera import pixel_order
from mgm.data.rooms.labels import edge_texture, geometry_labels
from mgm.data.rooms.render import cast, locate, radiance
from mgm.data.rooms.scene import Scene
from mgm.data.rooms.vectors import pick
from mgm.types import Size

_SUBPIXELS = np.array([[0.17, 0.5, 0.83], [0.5, 0.83, 0.17]])
"""Positions (x, y) of the extra samples inside a pixel: one in each third of both axes."""
_CONTRAST = 0.11
"""Difference in displayed brightness above which two neighbouring pixels get extra samples."""


def take(scene: Scene, size: Size, noise: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Render an image ``[3, *size]`` uint8 and its labels, which are exact at the centres of the pixels.

    Colour is first sampled once per pixel. For pixels that differ from a neighbour in surface or brightness, it is replaced by the
    mean of three other samples (Whitted, "An improved illumination model for shaded display", 1980). A new sample on the pixel's
    own surface reuses its colour, unless brightness varies within that surface.
    """
    rows, columns, place_of = pixel_order(size)
    camera, pixel = scene.camera, scene.camera.pixel(size)
    rays = camera.rays(columns + 0.5, rows + 0.5, size)
    primitives, place = scene.primitives, camera.position
    hits = locate(primitives, place, rays, *cast(scene, primitives, place, rays))
    light = radiance(scene, place, rays, hits, pixel)
    gain = _gain(light, scene.exposure)

    colours = develop(light * gain)
    surface = hits.surface[place_of].reshape(size)
    border, contrast = _uneven(pick(colours, place_of).reshape(3, *size), surface)
    contrast = contrast[rows, columns]
    refined = np.flatnonzero(border[rows, columns] | contrast)
    if len(refined):
        samples = np.repeat(refined, _SUBPIXELS.shape[1])
        inside = np.tile(_SUBPIXELS, len(refined))
        more = camera.rays(columns[samples] + inside[0], rows[samples] + inside[1], size)
        distance, seen = cast(scene, primitives, place, more)
        extra = pick(colours, samples)
        fresh = np.flatnonzero(contrast[samples] | (seen != hits.surface[samples]))
        if len(fresh):
            again = pick(more, fresh)
            found = locate(primitives, place, again, distance[fresh], seen[fresh])
            extra[:, fresh] = develop(radiance(scene, place, again, found, pixel / 2) * gain)
        colours[:, refined] = extra.reshape(3, len(refined), -1).mean(2)

    image = _sensor(pick(colours, place_of).reshape(3, *size), scene.grain, noise)
    labels = {
        task: pick(label, place_of).reshape(-1, *size) for task, label in geometry_labels(scene, rays, hits).items()
    }
    labels["semantic"] = labels["semantic"][0]
    labels["edge_texture"] = edge_texture(image)
    return image, labels


def _gain(light: np.ndarray, exposure: float) -> float:
    """Automatic exposure: the factor that brings the 75th percentile of brightness to ``exposure``."""
    grey = light.mean(0)
    return float(exposure / max(float(np.quantile(grey, 0.75)), 1e-3))


def develop(light: np.ndarray) -> np.ndarray:
    """Convert linear light to display values in [0, 1]: soft saturation instead of clipping, then gamma 2.2."""
    return (1 - np.exp(-1.3 * np.maximum(light, 0))) ** np.float32(1 / 2.2)


def _uneven(values: np.ndarray, surface: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks ``[H, W]`` of pixels with a neighbour on another surface, and with one of other brightness on the same surface."""
    border, contrast = np.zeros(surface.shape, dtype=bool), np.zeros(surface.shape, dtype=bool)
    for first, second in ((np.s_[:-1, :], np.s_[1:, :]), (np.s_[:, :-1], np.s_[:, 1:])):
        other = surface[first] != surface[second]
        steps = np.abs(values[:, *second] - values[:, *first])
        step = (steps > _CONTRAST).any(0) & ~other
        for part in (first, second):
            border[part] |= other
            contrast[part] |= step
    return border, contrast


def _sensor(values: np.ndarray, grain: float, noise: np.random.Generator) -> np.ndarray:
    """Apply slight vignetting and noise that is stronger in dark areas, and quantise to uint8."""
    down, across = (
        np.linspace(-1, 1, side, dtype=np.float32) if side > 1 else np.zeros(1, dtype=np.float32)
        for side in values.shape[1:]
    )
    shade = 1 - np.float32(0.06) * (down[:, None] ** 2 + across[None, :] ** 2)
    grains = noise.standard_normal(values.shape, dtype=np.float32) * np.float32(grain)
    return (np.clip(values * shade + grains * (1.3 - values), 0, 1) * 255 + 0.5).astype(np.uint8)
