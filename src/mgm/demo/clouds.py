"""Points in space from a depth map, and how the page draws them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mgm.data.geometry import Intrinsics
from mgm.data.images import resize_nearest
from mgm.errors import ConfigError
from mgm.report.point_cloud import COLOUR, point_cloud

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MOST_POINTS = 25_000
"""Browsers turn this many points without stutter."""
LEAST_VIEW_DEG, LARGEST_VIEW_DEG = 20, 120
USUAL_VIEW_DEG = 60
"""Horizontal field of view of most photographs; that of NYUv2's camera is 63 degrees."""
_PLOT_WIDTH = 620
"""Pixels that the points of a row share, about, seen from where the photographer stood."""
_GRID = "rgba(128, 128, 128, 0.25)"
_INK = "rgb(128, 128, 128)"
"""Legible on light and on dark pages."""


def camera_with_view(size: tuple[int, int], view_deg: float) -> Intrinsics:
    """A camera with square pixels whose optical centre is the middle of the picture.

    Args:
        size: Height and width of its pictures in pixels.
        view_deg: Horizontal field of view in degrees.

    Raises:
        ConfigError: If the field of view is outside 20 to 120 degrees.
    """
    if not LEAST_VIEW_DEG <= view_deg <= LARGEST_VIEW_DEG:
        raise ConfigError(
            f"a field of view of {view_deg:g}° was asked for; it goes from {LEAST_VIEW_DEG}° to {LARGEST_VIEW_DEG}°"
        )
    return Intrinsics.from_field_of_view(view_deg, *size)


def thinned(depth: np.ndarray, picture: np.ndarray, camera: Intrinsics, most: int = MOST_POINTS) -> np.ndarray:
    """The points of pixels on an even grid that leaves at most ``most``; otherwise as `mgm.report.point_cloud.point_cloud`.

    Args:
        depth: ``[H, W]`` metres along the optical axis; where not positive or not finite there is no point.
        picture: ``[h, w, 3]`` uint8, colours of the points; any resolution.
        camera: Of the depth map.
        most: Points to keep.
    """
    stride = max(1, math.ceil(math.sqrt(depth.size / most)))
    first = stride // 2
    kept = slice(first, None, stride)
    sparse = Intrinsics(
        camera.fx / stride, camera.fy / stride, (camera.cx - first) / stride, (camera.cy - first) / stride
    )
    return point_cloud(resize_nearest(picture, *depth.shape)[kept, kept], depth[kept, kept], sparse)


def figure(points: np.ndarray) -> Figure:
    """An interactive view of the points of `thinned`, at first from a little behind the place of the camera."""
    import plotly.graph_objects as go

    axis = {"gridcolor": _GRID, "zerolinecolor": _GRID, "showbackground": False, "color": _INK, "nticks": 6}
    marker = {
        "size": min(9.0, max(1.5, _PLOT_WIDTH / max(1.0, math.sqrt(len(points))))),
        "symbol": "square",
        "color": [f"rgb({red},{green},{blue})" for red, green, blue in points[list(COLOUR)].tolist()],
        "line": {"width": 0},
    }
    scatter = go.Scatter3d(
        x=points["x"],
        y=points["z"],
        z=-points["y"],
        mode="markers",
        marker=marker,
        hovertemplate="%{y:.2f} m away<br>%{x:.2f} m right, %{z:.2f} m up<extra></extra>",
    )
    drawn = go.Figure(scatter)
    drawn.update_layout(
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
        uirevision="cloud",  # a new field of view leaves the viewer where they stand
    )
    return drawn
