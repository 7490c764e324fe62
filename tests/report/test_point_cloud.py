from typing import Any

import numpy as np
import pytest

from mgm.data.geometry import Intrinsics
from mgm.report.point_cloud import COLOUR, plot_points, thinned

CAMERA = Intrinsics.from_field_of_view(60, 4, 6)


def test_a_wall_is_a_plane_and_pixels_are_on_their_rays():
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    points = thinned(np.full((4, 6), 3.0), picture, CAMERA)
    assert points.shape == (24,)
    assert (points["z"] == 3).all()
    assert points["x"][0] < 0 < points["x"][5]  # left, right
    assert points["y"][0] < 0 < points["y"][-1]  # up is negative
    assert points["x"][7] / 3 * CAMERA.fx + CAMERA.cx == pytest.approx(1, abs=1e-5)
    assert points[list(COLOUR)][7].tolist() == tuple(picture[1, 1].tolist())


def test_unknown_depth_gives_no_point():
    depth = np.array([[1.0, np.nan], [0.0, -1.0]])
    assert len(thinned(depth, np.zeros((2, 2, 3), np.uint8), CAMERA)) == 1


def test_many_pixels_are_thinned_out_evenly_and_stay_where_they_are():
    camera = Intrinsics.from_field_of_view(60, 200, 300)
    depth = 1 + np.arange(200 * 300).reshape(200, 300) / 1000  # tells every pixel apart
    black = np.zeros((200, 300, 3), np.uint8)
    points, everything = thinned(depth, black, camera, 1000), thinned(depth, black, camera, 200 * 300)
    assert 500 < len(points) <= 1000
    whole = {float(point["z"]): point for point in everything}
    for point in points[::17]:
        same = whole[float(point["z"])]
        assert (point["x"], point["y"]) == pytest.approx((same["x"], same["y"]), abs=1e-4)


def test_colours_may_have_another_resolution():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = 200
    assert thinned(np.ones((2, 2)), picture, CAMERA)["red"].tolist() == [0, 200, 0, 200]


def test_the_plot_has_up_upwards_and_fetches_nothing():
    pytest.importorskip("plotly")
    drawn: Any = plot_points(thinned(np.ones((4, 6)), np.full((4, 6, 3), 7, np.uint8), CAMERA))
    assert drawn.data[0].z[0] > 0 > drawn.data[0].z[-1]
    assert set(drawn.data[0].y) == {1}
    assert drawn.data[0].marker.color[0] == "rgb(7,7,7)"
    assert "http" not in drawn.to_json()
