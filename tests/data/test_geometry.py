"""Normals from depth: exact on planes, accurate on spheres and noisy planes, never across edges."""

import os
from pathlib import Path

import numpy as np
import pytest

from mgm.data.geometry import NYUV2_CAMERA, Intrinsics, normals_from_depth
from mgm.data.images import read_labels, read_rgb
from mgm.tasks.files import decode_rgb_normals, unit_normals

CAMERA = Intrinsics(100.0, 110.0, 39.5, 29.5)
REAL = Path(os.environ.get("MGM_DATA", "no")) / "nyuv2_small"


def rays(height=60, width=80, camera=CAMERA):
    u, v = np.meshgrid((np.arange(width) - camera.cx) / camera.fx, (np.arange(height) - camera.cy) / camera.fy)
    return np.stack([u, v, np.ones_like(u)])


def plane_depth(normal, distance, **size):
    """Depth of the points P with normal . P = -distance, seen along the rays."""
    return -distance / np.tensordot(np.asarray(normal, float), rays(**size), 1)


def angles(one, other):
    """Degrees between two fields of unit vectors."""
    return np.degrees(np.arccos((one * other).sum(axis=0).clip(-1, 1)))


@pytest.mark.parametrize("normal", [(0, 0, -1), (0.6, 0, -0.8), (-0.6, 0, -0.8), (0, -0.8, -0.6), (0.36, 0.48, -0.8)])
def test_planes_are_exact(normal):
    found = normals_from_depth(plane_depth(normal, 2.0), CAMERA, radius=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(np.reshape(normal, (3, 1, 1)), found.shape), atol=1e-4)


def test_a_wall_to_the_right_faces_left():
    # mirrored or swapped axes would show here: at the right the wall is nearer, so its normal points to the left
    depth = 4 - 0.03 * np.arange(80)[None, :].repeat(60, axis=0)
    found = normals_from_depth(depth, CAMERA, radius=3)
    assert np.nanmean(found[0]) < -0.3
    assert abs(np.nanmean(found[1])) < 0.05
    down = 4 - 0.03 * np.arange(60)[:, None].repeat(80, axis=1)
    assert np.nanmean(normals_from_depth(down, CAMERA, radius=3)[1]) < -0.3


def test_sphere():
    centre, radius = np.array([0.1, -0.05, 3.0]), 0.8
    ray = rays()
    length = (ray**2).sum(axis=0)
    along = np.tensordot(centre, ray, 1)
    inside = along**2 - length * (centre @ centre - radius**2)
    depth = np.where(inside > 0, (along - np.sqrt(np.maximum(inside, 0))) / length, np.nan)
    truth = (depth * ray - centre[:, None, None]) / radius
    error = angles(normals_from_depth(depth, CAMERA, radius=2), truth)
    slope = -(truth * ray).sum(axis=0) / np.sqrt(length)
    assert np.nanmean(error[slope > 0.5]) < 1.5
    assert np.nanmax(error[slope > 0.6]) < 5


def test_noise_averages_out():
    rng = np.random.default_rng(0)
    depth = plane_depth((0.36, 0.48, -0.8), 2.0)
    noisy = depth * (1 + rng.normal(0, 0.002, depth.shape))
    truth = np.array([0.36, 0.48, -0.8]).reshape(3, 1, 1)
    small, large = (np.nanmean(angles(normals_from_depth(noisy, CAMERA, radius=r), truth)) for r in (2, 6))
    assert large < small / 2


def test_an_edge_in_depth_does_not_bend_normals():
    depth = plane_depth((0, 0, -1), 2.0)
    depth[:, 40:] = 3.0
    found = normals_from_depth(depth, CAMERA, radius=4)
    np.testing.assert_allclose(found[2], -1, atol=1e-4)


def test_unknown_depth_gives_no_normal_and_does_not_spread():
    depth = plane_depth((0, -0.8, -0.6), 1.5)
    depth[20:24, 20:24] = (0, np.nan, -1, np.inf)
    found = normals_from_depth(depth, CAMERA, radius=3)
    hole = np.zeros(depth.shape, bool)
    hole[20:24, 20:24] = True
    assert np.isnan(found[:, hole]).all()
    np.testing.assert_allclose(found[:, ~hole].T - (0, -0.8, -0.6), 0, atol=1e-4)


def test_a_lone_pixel_has_no_normal():
    depth = np.full((60, 80), np.nan)
    depth[30, 40] = 2
    assert np.isnan(normals_from_depth(depth, CAMERA, radius=3)).all()


def test_chosen_pixels_equal_those_of_the_whole_picture():
    rng = np.random.default_rng(1)
    depth = plane_depth((0.36, 0.48, -0.8), 2.0) * (1 + rng.normal(0, 0.01, (60, 80)))
    rows, columns = np.array([0, 7, 59]), np.array([3, 79])
    whole = normals_from_depth(depth, CAMERA, radius=3)
    np.testing.assert_array_equal(
        normals_from_depth(depth, CAMERA, rows=rows, columns=columns, radius=3), whole[:, rows][:, :, columns]
    )


def test_scaled_camera_sees_the_same_plane():
    half = CAMERA.scaled(0.5, 0.5)
    normal = (0.36, 0.48, -0.8)
    depth = plane_depth(normal, 2.0, height=30, width=40, camera=half)
    np.testing.assert_allclose(normals_from_depth(depth, half, radius=3)[:, 15, 20], normal, atol=1e-4)
    # the centre of the new first pixel is that of the old first four
    assert half.cx == pytest.approx((39.5 - 0.5) / 2)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real NYUv2 files are not in $MGM_DATA")
def test_close_to_the_derived_normals_of_real_images():
    camera = NYUV2_CAMERA.scaled(0.4, 0.4)
    rows, columns = np.arange(18, 188, 3), np.arange(17, 240, 3)
    errors = []
    for name in ("0001", "0100", "0500", "0900", "1301"):
        depth = (read_labels(REAL / "depth" / f"{name}.png") + 0.5) * 10 / 255
        reference = unit_normals(decode_rgb_normals(read_rgb(REAL / "normal" / f"{name}.jpg")))
        reference = reference.transpose(2, 0, 1)[:, rows][:, :, columns]
        found = normals_from_depth(depth, camera, rows=rows, columns=columns, radius=6)
        errors.append(angles(found, reference).ravel())
    error = np.concatenate(errors)
    # both are estimates from the same 8-bit depth, this one with a fixed neighbourhood
    assert np.isnan(error).mean() < 0.03
    assert np.nanmean(error) < 10
    assert np.nanmedian(error) < 6
