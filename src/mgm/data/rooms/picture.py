"""From a scene to a picture and its labels: sampling, anti-aliasing, exposure, sensor."""

from __future__ import annotations

import numpy as np

from mgm.data.rooms.camera import pixel_order
from mgm.data.rooms.labels import edge_texture, geometry_labels
from mgm.data.rooms.render import radiance, trace
from mgm.data.rooms.scene import Scene

_SUBPIXELS = ((0.375, 0.125), (0.875, 0.375), (0.125, 0.625), (0.625, 0.875))
"""Rotated grid: places of the extra samples inside a pixel."""
_CONTRAST = 0.06
"""Difference between neighbours, of displayed brightness, above which both get extra samples."""


def take(scene: Scene, size: int, noise: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A square picture ``[3, size, size]`` uint8 and its labels, exact at the middles of the pixels.

    The colour is first sampled once per pixel. Pixels that differ from a neighbour in surface or brightness get four
    more samples (Whitted, "An improved illumination model for shaded display", 1980).
    """
    rows, columns = pixel_order(size)
    camera, pixel = scene.camera, 2 * scene.camera.tangent / size
    rays = camera.rays(columns + 0.5, rows + 0.5, size)
    hits = trace(scene, scene.primitives, camera.position, rays)
    light = radiance(scene, camera.position, rays, hits, pixel)
    gain = _gain(light, scene.exposure)

    values = np.empty((3, size, size), dtype=np.float32)
    values[:, rows, columns] = develop(light * gain)
    surface = np.empty((size, size), dtype=np.int64)
    surface[rows, columns] = hits.surface
    refined = np.flatnonzero(_uneven(values, surface)[rows, columns])
    if len(refined):
        row, column = rows[refined], columns[refined]
        x = np.stack([column + dx for dx, _ in _SUBPIXELS], axis=1).ravel()
        y = np.stack([row + dy for _, dy in _SUBPIXELS], axis=1).ravel()
        more = camera.rays(x, y, size)
        seen = trace(scene, scene.primitives, camera.position, more)
        extra = develop(radiance(scene, camera.position, more, seen, pixel / 2) * gain)
        values[:, row, column] = extra.reshape(3, -1, len(_SUBPIXELS)).mean(2)

    image = _sensor(values, scene.grain, noise)
    labels = {}
    for task, label in geometry_labels(scene, rays, hits).items():
        labels[task] = np.empty((len(label), size, size), dtype=label.dtype)
        labels[task][:, rows, columns] = label
    labels["semantic"] = labels["semantic"][0]
    labels["edge_texture"] = edge_texture(image)
    return image, labels


def _gain(light: np.ndarray, exposure: float) -> float:
    """Automatic exposure: brings the brightness of the brighter quarter to ``exposure``."""
    grey = light.mean(0)
    return float(exposure / max(float(np.quantile(grey, 0.75)), 1e-3))


def develop(light: np.ndarray) -> np.ndarray:
    """Linear light to display values in [0, 1]: a soft shoulder instead of clipping, then the sRGB curve (by power)."""
    return (1 - np.exp(-1.3 * np.maximum(light, 0))) ** np.float32(1 / 2.2)


def _uneven(values: np.ndarray, surface: np.ndarray) -> np.ndarray:
    """``[H, W]`` bool: pixels that differ from the one right of or below them, and those too."""
    uneven = np.zeros(surface.shape, dtype=bool)
    for axis in (0, 1):
        step = np.abs(np.diff(values, axis=axis + 1)).max(0) > _CONTRAST
        step |= np.diff(surface, axis=axis) != 0
        first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        second = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        uneven[first] |= step
        uneven[second] |= step
    return uneven


def _sensor(values: np.ndarray, grain: float, noise: np.random.Generator) -> np.ndarray:
    """Slight vignetting, noise that is stronger in the shade, and 8 bits."""
    size = values.shape[1]
    axis = np.linspace(-1, 1, size, dtype=np.float32) if size > 1 else np.zeros(1, dtype=np.float32)
    shade = 1 - np.float32(0.06) * (axis[:, None] ** 2 + axis[None, :] ** 2)
    grains = noise.standard_normal(values.shape, dtype=np.float32) * np.float32(grain)
    return (np.clip(values * shade + grains * (1.3 - values), 0, 1) * 255 + 0.5).astype(np.uint8)
