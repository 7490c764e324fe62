from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fake_runs import INFO, write_run
from mgm.demo.panels import cloud_figure, comparison, generated, prediction_tiles, write_downloads
from mgm.demo.photographs import Photograph
from mgm.demo.runs import open_runs
from mgm.demo.views import look
from mgm.errors import ConfigError, RunError

AFTER, BEFORE = "after joint training", "before joint training"


@pytest.fixture
def seen(served, photo):
    return look(served.first.model, Photograph("holiday/a.jpg", photo), served.first.title)


def test_all_tasks_stand_side_by_side(served, seen):
    shown = prediction_tiles(served.first, seen)
    for title in ("Photograph", "Semantic segmentation", "Depth", "Surface normals"):
        assert f"<figcaption>{title}" in shown
    assert 'data-height="40" data-width="56"' in shown
    assert "Ground truth" not in shown
    assert shown.count("mgm-over") == 3  # all but the photograph itself let it show through


def test_examples_come_with_their_truth(served):
    example = served.examples[0]
    shown = prediction_tiles(served.first, look(served.first.model, example))
    assert "Ground truth of this example" in shown
    assert shown.count("<img") == 8


def test_points_are_coloured_by_the_picture_or_a_task(served, seen):
    pytest.importorskip("plotly")
    plain = cloud_figure(served.first, seen, 60, "photograph")
    assert plain is not None
    red, green, blue = seen.photograph.pixels[0, 0]
    assert f"rgb({red},{green},{blue})" in plain.data[0].marker.color
    classes = cloud_figure(served.first, seen, 60, "semantic")
    assert classes is not None
    assert len(set(classes.data[0].marker.color)) <= 3
    with pytest.raises(ConfigError, match="unknown colouring 'depht'. Did you mean 'depth'"):
        cloud_figure(served.first, seen, 60, "depht")


def test_a_wider_view_spreads_the_points(served, seen):
    pytest.importorskip("plotly")
    narrow, wide = (cloud_figure(served.first, seen, view, "photograph") for view in (30, 90))
    assert narrow is not None
    assert wide is not None
    assert np.ptp(wide.data[0].x) > 2 * np.ptp(narrow.data[0].x)


def test_without_depth_there_is_no_cloud(tmp_path, photo):
    run = write_run(tmp_path / "run", info=replace(INFO, tasks=("semantic",)))
    served = open_runs([run], "cpu")
    assert cloud_figure(served.first, look(served.first.model, Photograph("a", photo)), 60, "photograph") is None


def test_downloads_hold_the_values(served, seen, tmp_path):
    files = {path.name: path for path in write_downloads(served.first, seen, tmp_path, 60)}
    assert sorted(files) == [
        "holiday-a_depth.npy",
        "holiday-a_depth.png",
        "holiday-a_depth_mm.png",
        "holiday-a_normal.npy",
        "holiday-a_normal.png",
        "holiday-a_points.ply",
        "holiday-a_semantic.npy",
        "holiday-a_semantic.png",
    ]
    depth = np.load(files["holiday-a_depth.npy"], allow_pickle=False)
    assert np.array_equal(depth, seen.values["depth"].numpy())
    assert np.load(files["holiday-a_semantic.npy"], allow_pickle=False).dtype == np.uint8
    with Image.open(files["holiday-a_depth_mm.png"]) as image:
        assert image.mode == "I;16"
        assert np.asarray(image) == pytest.approx(depth[0].clip(0) * 1000, abs=0.5)
    assert f"element vertex {(depth > 0).sum()}\n".encode() in files["holiday-a_points.ply"].read_bytes()


def test_points_to_take_along_lie_as_wide_as_the_view(served, seen, tmp_path):
    def width(view: float) -> float:
        files = {path.suffix: path for path in write_downloads(served.first, seen, tmp_path, view)}
        content = files[".ply"].read_bytes().partition(b"end_header\n")[2]
        kinds = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")] + [(name, "u1") for name in "rgb"]
        return float(np.ptp(np.frombuffer(content, kinds)["x"]))

    assert width(90) == pytest.approx(width(60) * np.sqrt(3), rel=1e-4)
    with pytest.raises(ConfigError, match="from 20° to 120°"):
        width(5)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/etc/passwd", "a\0b" * 200, "", "\\..\\x.png"])
def test_no_name_leaves_the_folder_of_downloads(served, seen, tmp_path, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    hostile = replace(seen, photograph=replace(seen.photograph, name=name))
    files = write_downloads(served.first, hostile, folder, 60)
    assert sorted(files) == sorted(folder.iterdir())
    assert list(tmp_path.iterdir()) == [folder]


def test_two_runs_are_compared_task_by_task(served, photo):
    first, second = served.runs
    shown = comparison(served, Photograph("a", photo), first, second)
    assert shown.count("<figcaption>Difference") == 3
    assert shown.count(f"<figcaption>{first}") == shown.count(f"<figcaption>{second}") == 3
    assert "° apart on average" in shown
    assert "Ground truth" not in shown
    assert comparison(served, served.examples[0], first, second).count("Ground truth") == 3


def test_what_cannot_be_compared_is_said(served, tmp_path, photo):
    first = served.first.title
    shot = Photograph("a", photo)
    with pytest.raises(ConfigError, match="choose two different runs"):
        comparison(served, shot, first, first)
    with pytest.raises(ConfigError, match="unknown run 'x'"):
        comparison(served, shot, first, "x")
    others = [
        write_run(tmp_path / "depth", info=replace(INFO, tasks=("depth",))),
        write_run(tmp_path / "classes", info=replace(INFO, tasks=("semantic",))),
    ]
    apart = open_runs(others, "cpu")
    with pytest.raises(ConfigError, match="have no task in common"):
        comparison(apart, shot, *apart.runs)


def test_classes_of_another_meaning_are_not_compared(tmp_path, photo):
    runs = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", info=replace(INFO, classes=("floor", "wall", "thing"))),
    ]
    served = open_runs(runs, "cpu")
    shown = comparison(served, Photograph("a", photo), *served.runs)
    assert "Depth" in shown
    assert "Semantic" not in shown


def test_images_are_generated_with_what_the_network_predicts(served):
    run = served.first
    shown = generated(run, AFTER, ["cellar_room"], 3, 0)
    assert shown.count("<img") == 3 * 4
    assert "<h4>cellar room</h4>" in shown
    assert shown == generated(run, AFTER, ["cellar_room"], 3, 0)
    assert shown != generated(run, AFTER, ["cellar_room"], 3, 1)
    assert shown != generated(run, BEFORE, ["cellar_room"], 3, 0)
    assert shown != generated(run, AFTER, ["attic"], 3, 0)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("later", ["attic"], 1, 0), "unknown stage 'later'"),
        ((AFTER, ["kitchen"], 1, 0), "unknown scene 'kitchen'. Choices: attic, cellar_room"),
        ((AFTER, [], 1, 0), "choose one scene"),
        ((AFTER, ["attic", "cellar_room"], 1, 0), "choose one scene"),
        ((AFTER, ["attic"], 0, 0), "choose 1 to 8"),
        ((AFTER, ["attic"], 9, 0), "9 images were asked for"),
        ((AFTER, ["attic"], 1, -1), "the seed is -1"),
    ],
)
def test_what_cannot_be_generated_is_said(served, arguments, says):
    with pytest.raises(ConfigError, match=says):
        generated(served.first, *arguments)


def test_objects_may_be_combined_where_labels_are_multi_hot(tmp_path):
    run = write_run(tmp_path / "run", info=replace(INFO, multi_hot=True), stages=("joint",))
    part = open_runs([run], "cpu").first
    assert "<h4>attic, cellar room</h4>" in generated(part, AFTER, ["cellar_room", "attic"], 1, 0)
    assert "<h4>any</h4>" in generated(part, AFTER, [], 1, 0)


def test_a_generator_without_labels_needs_none(tmp_path):
    run = write_run(tmp_path / "run", info=replace(INFO, scenes=()), stages=("generator",))
    part = open_runs([run], "cpu").first
    assert "<h4>any</h4>" in generated(part, BEFORE, [], 2, 0)


def test_a_run_without_a_generator_says_why(served):
    other = list(served.runs.values())[1]
    with pytest.raises(RunError, match="second .mgm. has no generator: its recipe trains none"):
        generated(other, AFTER, ["attic"], 1, 0)
