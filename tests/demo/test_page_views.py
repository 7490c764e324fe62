from __future__ import annotations

import numpy as np
import pytest
import torch

from mgm.demo.photographs import Photograph
from mgm.demo.views import Seen, class_shares, describe, difference, facing, look, picture, read_pixel, value_range
from mgm.errors import ConfigError
from mgm.tasks import make_tasks

TASKS = make_tasks(("semantic", "depth", "normal", "edge_texture", "principal_curvature"), ("wall", "floor"))


def seen(truth=None) -> Seen:
    semantic = torch.zeros(2, 3, dtype=torch.uint8)
    semantic[1, 2] = 1
    depth = torch.arange(6.0).view(1, 2, 3)
    normal = torch.tensor([0.0, -1.0, 0.0]).view(3, 1, 1).expand(3, 2, 3)
    values = {"semantic": semantic, "depth": depth, "normal": normal}
    return Seen(Photograph("a", np.zeros((2, 3, 3), np.uint8), truth or {}), "run", values)


def test_look_predicts_at_the_photographs_size_and_in_compact_types(served, photo):
    found = look(served.first.model, Photograph("a", photo), "first")
    assert found.size == (40, 56)
    assert found.values["semantic"].dtype == torch.uint8
    assert found.values["depth"].shape == (1, 40, 56)
    expected = served.first.model.predict(photo)
    assert torch.equal(found.values["semantic"].long(), expected["semantic"])
    assert torch.equal(found.values["normal"], expected["normal"])


def test_a_pixel_is_read_at_its_column_and_row():
    tasks = {name: TASKS[name] for name in ("semantic", "depth", "normal")}
    line = read_pixel(tasks, seen(), 2, 1)
    assert line == "column 2, row 1 · floor · depth 5.00 m · normal (0.00, −1.00, 0.00), facing up"
    assert read_pixel(tasks, seen(), 0, 1).startswith("column 0, row 1 · wall · depth 3.00 m")


def test_a_labelled_example_says_the_truth_too():
    truth = {"semantic": torch.full((2, 3), 255), "depth": torch.full((1, 2, 3), float("nan"))}
    truth["normal"] = torch.tensor([0.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 2, 3)
    line = read_pixel({name: TASKS[name] for name in ("semantic", "depth", "normal")}, seen(truth), 0, 0)
    assert "wall (truth: no class)" in line
    assert "depth 0.00 m (truth: unknown)" in line
    assert "facing up (truth: facing towards the viewer)" in line


@pytest.mark.parametrize("x, y", [(-1, 0), (3, 0), (0, 2), (0, -1)])
def test_a_pixel_outside_is_refused(x, y):
    with pytest.raises(ConfigError, match="outside the photograph; columns go from 0 to 2 and rows from 0 to 1"):
        read_pixel({}, seen(), x, y)


def test_values_of_other_tasks_in_words():
    assert describe(TASKS["edge_texture"], torch.tensor([0.25])) == "edge texture 0.25"
    assert describe(TASKS["principal_curvature"], torch.tensor([0.5, 0.1])) == "principal curvature (0.50, 0.10)"
    assert describe(TASKS["depth"], torch.tensor([float("nan")])) == "depth unknown"


@pytest.mark.parametrize(
    "normal, direction",
    [
        ((-1, 0, 0), "to the left"),
        ((1, 0, 0), "to the right"),
        ((0, -1, 0), "up"),
        ((0, 1, 0), "down"),
        ((0.1, 0.2, -0.9), "towards the viewer"),
    ],
)
def test_directions_are_those_of_the_camera(normal, direction):
    assert facing(torch.tensor(normal, dtype=torch.float32)) == direction


def test_shares_of_classes_add_up_and_leave_out_what_does_not_occur():
    tasks = make_tasks(("semantic",), ("a", "b", "c"))
    value = torch.tensor([[2, 2, 2, 0]], dtype=torch.uint8)
    assert class_shares(tasks["semantic"], value) == [(2, 0.75), (0, 0.25)]
    assert class_shares(TASKS["depth"], torch.ones(1, 2, 2)) == []


def test_range_of_finite_values():
    assert value_range(torch.tensor([3.0, float("nan"), 1.0, 2.0])) == (1.0, 2.0, 3.0)
    assert value_range(torch.tensor([float("nan")])) is None


def test_small_pictures_are_enlarged_by_a_whole_factor():
    shown = picture(TASKS["depth"], torch.tensor([[[0.0, 10.0]]]))
    assert shown.shape == (240, 480, 3)
    assert (shown[:, :240] == shown[0, 0]).all()
    assert (shown[:, 240:] == shown[0, -1]).all()


def test_differences_are_measured_in_the_tasks_own_unit():
    a, b = torch.zeros(1, 4, dtype=torch.uint8), torch.tensor([[0, 0, 0, 1]], dtype=torch.uint8)
    assert "another class, 25 % of the pixels" in difference(TASKS["semantic"], a, b).sentence
    near = torch.full((1, 2, 2), 2.0)
    assert difference(TASKS["depth"], near, near + 0.5).sentence.startswith("0.50 m apart on average; dark red: 1 m")
    up, right = torch.zeros(3, 1, 1), torch.zeros(3, 1, 1)
    up[1], right[0] = -1, 1
    assert difference(TASKS["normal"], up, right).sentence.startswith("90.0° apart on average")
    edges = difference(TASKS["edge_texture"], near / 10, near / 10 + 0.1).sentence
    assert edges.startswith("0.10 apart on average")


def test_equal_predictions_have_no_colour_of_difference():
    value = torch.full((1, 2, 2), 2.0)
    same, far = difference(TASKS["depth"], value, value), difference(TASKS["depth"], value, value + 1)
    assert (same.picture == same.picture[0, 0]).all()
    assert not np.array_equal(same.picture[0, 0], far.picture[0, 0])
