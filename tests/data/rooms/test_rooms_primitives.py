"""Single primitives of known place against closed forms, seen through the whole tracer."""

import numpy as np
import pytest

from mgm.data.rooms.camera import Camera, group, ungroup
from mgm.data.rooms.casting import occluded
from mgm.data.rooms.dice import Dice
from mgm.data.rooms.labels import encode_curvature
from mgm.data.rooms.lights import Lighting
from mgm.data.rooms.model import Model
from mgm.data.rooms.render import Hits, cast, locate
from mgm.data.rooms.room import Room
from mgm.data.rooms.scene import Scene, finish

SIZE = 33
EYE = np.array([2.0, 0.5, 1.5], dtype=np.float32)
AXES = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=np.float32)


def scene_with(model: Model) -> Scene:
    """An empty room of 4 x 5 x 3 m with one object, seen along +y from the middle of the front."""
    room = Room(Dice([0]), 4.0, 5.0, 3.0)
    room.sides = (room.materials.lacquer(),) * 6
    room.contents.attach(model, (0, 0, 0))
    dark = np.zeros(3, dtype=np.float32)
    return finish(room, Lighting((), dark, dark), Camera(EYE, AXES, 0.5), 0.5, 0.0)


def look(model: Model) -> tuple[np.ndarray, Hits, int]:
    """Rays ``[3, n]``, hits, and the number of primitives."""
    scene = scene_with(model)
    rows, columns = (grid.ravel() for grid in np.mgrid[0:SIZE, 0:SIZE])
    rays = scene.camera.rays(columns + 0.5, rows + 0.5, (SIZE, SIZE))
    hits = locate(scene.primitives, EYE, rays, *cast(scene, scene.primitives, EYE, rays))
    return rays, hits, len(scene.primitives)


def on_object(model: Model) -> tuple[np.ndarray, Hits, np.ndarray]:
    rays, hits, count = look(model)
    inside = np.flatnonzero(hits.surface < count)
    assert len(inside) > 20
    return rays, hits, inside


def test_empty_room_shows_its_back_wall_at_the_right_depth():
    rays, hits, _ = look(Model("box"))
    back = hits.surface == 3
    assert back.sum() > 100
    np.testing.assert_allclose(hits.distance[back], 4.5, rtol=1e-5)
    np.testing.assert_allclose(hits.normal[:, back], np.broadcast_to([[0], [-1], [0]], (3, back.sum())))
    np.testing.assert_allclose((EYE[:, None] + hits.distance * rays)[:, back], hits.point[:, back], rtol=1e-5)
    assert (hits.curvature == 0).all()


def test_ball_has_the_depth_normal_and_curvature_of_the_closed_form():
    centre, radius = np.array([2.1, 3.0, 1.4]), 0.6
    model = Model("box")
    model.ball(0, tuple(centre), radius)
    rays, hits, inside = on_object(model)
    d = rays[:, inside].astype(float)
    o = (EYE - centre).astype(float)
    a, b, c = (d * d).sum(0), o @ d, o @ o - radius**2
    np.testing.assert_allclose(hits.distance[inside], (-b - np.sqrt(b * b - a * c)) / a, atol=2e-4)
    expected = (hits.point[:, inside] - centre[:, None]) / radius
    np.testing.assert_allclose(hits.normal[:, inside], expected, atol=1e-3)
    np.testing.assert_allclose(hits.curvature[:, inside], 1 / radius, rtol=1e-3)
    assert len(inside) == int((np.square(o @ rays) > (rays * rays).sum(0) * c).sum())


def test_open_bowl_is_concave_inside():
    model = Model("box")
    model.ball(0, (2.0, 3.0, 0.9), 0.5, high=0.0)
    _, hits, inside = on_object(model)
    signs = np.sign(hits.curvature[:, inside])
    assert (signs[0] == signs[1]).all()
    assert (signs[0] < 0).any()
    assert (signs[0] > 0).any()
    np.testing.assert_allclose(np.abs(hits.curvature[:, inside]), 2.0, rtol=1e-3)


@pytest.mark.parametrize("caps", [(True, True), (False, False)])
def test_standing_cylinder_has_curvature_one_over_radius_and_zero(caps):
    radius = 0.4
    model = Model("box")
    model.tube(0, (1.9, 3.0, 1.2), radius, 3.2, caps=caps)
    rays, hits, inside = on_object(model)
    d, o = rays[:2, inside].astype(float), EYE[:2] - np.array([1.9, 3.0])
    a, b, c = (d * d).sum(0), o @ d, o @ o - radius**2
    np.testing.assert_allclose(hits.distance[inside], (-b - np.sqrt(b * b - a * c)) / a, atol=3e-4)
    np.testing.assert_allclose(hits.curvature[0, inside], 1 / radius, rtol=1e-3)
    np.testing.assert_allclose(hits.curvature[1, inside], 0, atol=1e-3)


def test_cone_has_the_curvature_of_its_local_radius():
    model = Model("box")
    model.tube(0, (2.0, 3.0, 1.4), 0.5, 1.6, taper=-0.6)
    _, hits, inside = on_object(model)
    slope = -0.6 * 0.5 / 0.8
    radius = np.hypot(hits.point[0, inside] - 2.0, hits.point[1, inside] - 3.0)
    np.testing.assert_allclose(hits.curvature[0, inside], 1 / (radius * np.hypot(1, slope)), rtol=3e-3)
    np.testing.assert_allclose(hits.curvature[1, inside], 0, atol=5e-3)


def test_cap_is_flat():
    model = Model("box")
    model.tube(0, (2.0, 2.5, 0.7), 0.8, 0.4)
    _, hits, inside = on_object(model)
    top = inside[hits.normal[2, inside] > 0.99]
    assert len(top) > 20
    np.testing.assert_allclose(hits.point[2, top], 0.9, atol=1e-4)
    assert (hits.curvature[:, top] == 0).all()


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.7), (0.0, 0.0, 1.2)])
def test_box_hits_lie_on_its_surface_with_its_normals(turn):
    model, half = Model("box"), np.array([0.5, 0.4, 0.3])
    model.box(0, (2.0, 2.8, 1.4), tuple(2 * half), turn)
    rays, hits, inside = on_object(model)
    axes = scene_with(model).primitives.rotation[0].astype(float)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
    local = axes @ (hits.point[:, inside] - np.array([[2.0], [2.8], [1.4]])) / half[:, None]
    np.testing.assert_allclose(np.abs(local).max(0), 1, atol=1e-4)
    normal = axes @ hits.normal[:, inside]
    np.testing.assert_allclose((normal * local).sum(0), 1, atol=1e-3)
    assert ((rays * hits.normal).sum(0) < 0).all()


def test_nothing_hits_what_lies_behind_or_beside():
    model = Model("box")
    model.ball(0, (2.0, 0.2, 1.5), 0.1)
    model.box(0, (0.2, 1.0, 0.2), (0.1, 0.1, 0.1))
    _, hits, count = look(model)
    assert (hits.surface >= count).all()


def test_shadow_of_a_ball_covers_its_cone():
    model = Model("box")
    model.ball(0, (2.0, 2.5, 1.5), 0.3)
    light = np.array([2.0, 2.5, 2.7], dtype=np.float32)
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0.5, 3.5, 40), np.linspace(1, 4, 40)))
    floor = np.stack([x, y, np.zeros_like(x)]).astype(np.float32)
    hidden = ungroup(occluded(scene_with(model).casters, light, group(floor - light[:, None])), floor.shape[1])
    reach = 2.7 * 0.3 / np.sqrt(1.2**2 - 0.3**2)
    np.testing.assert_array_equal(hidden, np.hypot(x - 2.0, y - 2.5) < reach)


def test_curvature_code_is_bounded_monotonic_and_invertible():
    curvature = np.array([-200.0, -5.0, -0.1, 0.0, 0.1, 5.0, 200.0])
    code = encode_curvature(curvature)
    assert (np.diff(code) > 0).all()
    assert code.min() > 0
    assert code.max() < 1
    assert code[3] == 0.5
    assert code[5] == 0.75
    signed = 2 * code - 1
    np.testing.assert_allclose(5 * signed / (1 - np.abs(signed)), curvature, rtol=1e-9)
