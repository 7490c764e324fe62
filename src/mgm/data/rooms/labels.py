"""Definition and encoding of the six dense labels."""

from __future__ import annotations

import numpy as np

from mgm.data.rooms.render import Hits
from mgm.data.rooms.scene import Scene
from mgm.data.rooms.vectors import dot, length

CURVATURE_SCALE = 5.0
"""Curvature in 1/m that is encoded as 0.75: that of a ball with 20 cm radius."""
RESHADING_DISTANCE = 4.0
"""Distance in metres at which the camera's lamp has half its strength."""
EDGE_SCALE = 0.12
"""Brightness gradient per pixel at which the edge response is 1 - 1/e."""

NOTES = {
    "depth": "z-depth along the optical axis in metres, exact",
    "normal": "unit vectors, x right, y down, z forward, exact, towards the camera",
    "edge_texture": "1 - exp(-g / 0.12), g the gradient of the smoothed luma of the picture, as Canny without thinning",
    "reshading": "Lambert shading by a lamp at the camera: cos(angle) / (1 + (distance / 4 m)^2)",
    "principal_curvature": "0.5 + 0.5 k / (|k| + 5/m), larger curvature first, convex above 0.5, exact",
}
"""Task -> its definition."""


def encode_curvature(curvature: np.ndarray) -> np.ndarray:
    """Encode curvatures k in 1/m as numbers in (0, 1): ``0.5 + 0.5 k / (|k| + 5/m)``; flat is 0.5, convex is above."""
    return 0.5 + 0.5 * curvature / (np.abs(curvature) + CURVATURE_SCALE)


def reshading(rays: np.ndarray, hits: Hits) -> np.ndarray:
    """Shading ``[n]`` in [0, 1] of the geometry lit by a lamp at the camera (Taskonomy's "reshading").

    ``cos(angle between normal and ray) / (1 + (d / 4 m)^2)``, where d is the distance from the camera. Textures and the lights of
    the room have no influence.
    """
    unit = length(rays)
    cosine = np.clip(-dot(rays, hits.normal) / unit, 0, 1)
    return cosine / (1 + (hits.distance * unit / RESHADING_DISTANCE) ** 2)


def edge_texture(image: np.ndarray) -> np.ndarray:
    """Edges of an image, whatever their cause: the Canny filter without thinning and thresholds, as in Taskonomy.

    The luma (Rec. 601) is smoothed with the binomial kernel (1, 4, 6, 4, 1)/16 along both axes. The Sobel gradient, in brightness
    per pixel, has length g, and the result is ``1 - exp(-g / 0.12)``.

    Args:
        image: ``[3, H, W]`` uint8 RGB.

    Returns:
        ``[1, H, W]`` float32 in [0, 1).
    """
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255
    luma = np.tensordot(weights, image.astype(np.float32), 1)
    padded = np.pad(luma, 3, mode="edge")
    for axis in (0, 1):
        padded = _along(padded, (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16), axis)
    down = _along(_along(padded, (-0.5, 0.0, 0.5), 0), (0.25, 0.5, 0.25), 1)
    right = _along(_along(padded, (-0.5, 0.0, 0.5), 1), (0.25, 0.5, 0.25), 0)
    strength = np.sqrt(down * down + right * right)
    return (1 - np.exp(-strength / EDGE_SCALE)).astype(np.float32)[None]


def _along(values: np.ndarray, kernel: tuple[float, ...], axis: int) -> np.ndarray:
    """Correlate with a short kernel along one axis, without padding."""
    count = values.shape[axis] - len(kernel) + 1
    shape = (count, values.shape[1]) if axis == 0 else (values.shape[0], count)
    result = np.zeros(shape, dtype=np.float32)
    for k, weight in enumerate(kernel):
        if weight:
            result += np.float32(weight) * (values[k : k + count] if axis == 0 else values[:, k : k + count])
    return result


def geometry_labels(scene: Scene, rays: np.ndarray, hits: Hits) -> dict[str, np.ndarray]:
    """Labels that depend only on the geometry: ``semantic`` ``[1, n]`` uint8, the others ``[C, n]`` float32."""
    normal = scene.camera.axes @ hits.normal
    labels = {
        "depth": hits.distance[None],
        "normal": normal / length(normal),
        "reshading": reshading(rays, hits)[None],
        "principal_curvature": encode_curvature(hits.curvature),
    }
    return {
        "semantic": scene.label[hits.surface][None],
        **{task: np.ascontiguousarray(label, dtype=np.float32) for task, label in labels.items()},
    }
