"""Coloured point clouds from depth maps, as binary PLY (G. Turk, 1994) and as interactive plots."""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING

import numpy as np

from mgm.data.geometry import Intrinsics
from mgm.report.figures.images import resized

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PLACE = ("x", "y", "z")
DIRECTION = ("nx", "ny", "nz")
COLOUR: tuple[str, ...] = ("red", "green", "blue")
MOST_PLOTTED = 25_000
"""Largest number of points that a browser rotates smoothly."""


def point_cloud(
    pixels: np.ndarray, depth: np.ndarray, camera: Intrinsics, normals: np.ndarray | None = None
) -> np.ndarray:
    """Back-project every pixel with finite, positive depth into the camera frame: x right, y down, z forward, in metres.

    Args:
        pixels: ``[H, W, 3]`` uint8 RGB.
        depth: ``[H, W]``, metres along the optical axis.
        camera: Intrinsics of this image.
        normals: ``[3, H, W]`` unit vectors in the same frame; None: points without normals.

    Returns:
        Structured array ``[N]`` in row-major order, with fields x, y, z (and nx, ny, nz) float32, red, green, blue uint8.
    """
    known = np.isfinite(depth) & (depth > 0)
    places = camera.back_project(np.where(known, depth, 0).astype(np.float32))
    values: dict[str, np.ndarray] = dict(zip(PLACE, np.moveaxis(places, -1, 0), strict=True))
    if normals is not None:
        values.update(zip(DIRECTION, normals, strict=True))
    values.update(zip(COLOUR, np.moveaxis(pixels, -1, 0), strict=True))
    points = np.empty(known.sum(), dtype=[(name, "u1" if name in COLOUR else "<f4") for name in values])
    for name, array in values.items():
        points[name] = array[known]
    return points


def write_ply(points: np.ndarray, file: IO[bytes]) -> None:
    """Write the points of `point_cloud` as binary little-endian PLY."""
    kinds = {"f": "float", "u": "uchar"}
    lines = ["ply", "format binary_little_endian 1.0", "comment camera frame: x right, y down, z forward; metres"]
    lines.append(f"element vertex {len(points)}")
    lines += [f"property {kinds[points.dtype[name].kind]} {name}" for name in points.dtype.names or ()]
    file.write(("\n".join([*lines, "end_header"]) + "\n").encode("ascii"))
    file.write(points.tobytes())


def thinned(depth: np.ndarray, pixels: np.ndarray, camera: Intrinsics, most: int = MOST_PLOTTED) -> np.ndarray:
    """Point cloud of a subsampled depth map.

    Args:
        depth: ``[H, W]``, metres along the optical axis.
        pixels: ``[h, w, 3]`` uint8, colours of the points, at any resolution.
        camera: Intrinsics of the depth map.
        most: Largest number of points.
    """
    stride = max(1, math.ceil(math.sqrt(depth.size / most)))
    first = stride // 2
    kept = slice(first, None, stride)
    centre = (camera.cx - first) / stride, (camera.cy - first) / stride
    sparse = Intrinsics(camera.fx / stride, camera.fy / stride, *centre)
    return point_cloud(resized(pixels, depth.shape)[kept, kept], depth[kept, kept], sparse)  # type: ignore[arg-type]


def plot_points(points: np.ndarray) -> Figure:
    """Interactive plotly figure, initially seen from slightly behind the camera."""
    import plotly.graph_objects as go

    grey = "rgb(128, 128, 128)"
    axis = {"gridcolor": "rgba(128, 128, 128, 0.25)", "showbackground": False, "color": grey, "nticks": 6}
    marker = {
        "size": min(9.0, max(1.5, 620 / max(1.0, math.sqrt(len(points))))),
        "symbol": "square",
        "color": [f"rgb({red},{green},{blue})" for red, green, blue in points[list(COLOUR)].tolist()],
        "line": {"width": 0},
    }
    text = "%{y:.2f} m away<br>%{x:.2f} m right, %{z:.2f} m up<extra></extra>"
    place = {"x": points["x"], "y": points["z"], "z": -points["y"]}
    figure = go.Figure(go.Scatter3d(**place, mode="markers", marker=marker, hovertemplate=text))
    figure.update_layout(
        scene={
            "xaxis": {**axis, "title": "right [m]"},
            "yaxis": {**axis, "title": "away [m]"},
            "zaxis": {**axis, "title": "up [m]"},
            "aspectmode": "data",
            "camera": {"eye": {"x": 0.35, "y": -1.45, "z": 0.45}, "up": {"x": 0, "y": 0, "z": 1}},
        },
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        height=460,
        paper_bgcolor="rgba(0, 0, 0, 0)",
        showlegend=False,
        uirevision="points",  # keeps the viewpoint when the points change
    )
    return figure
