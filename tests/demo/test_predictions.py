from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fake_cells import SETTINGS, write_cells
from fake_runs import INFO, write_run
from mgm.data import open_source
from mgm.demo.photographs import Photograph
from mgm.demo.predictions import (
    Seen,
    comparison_html,
    confidence_html,
    legends_html,
    points_figure,
    predict_photograph,
    predictions_html,
    read_pixel,
    write_downloads,
)
from mgm.demo.runs import open_runs
from mgm.errors import ConfigError
from mgm.tasks import make_tasks


@pytest.fixture
def seen(served, photo):
    return predict_photograph(served.first, Photograph("holiday/a.jpg", photo))


def test_predictions_have_the_photographs_size_and_compact_types(served, seen, photo):
    assert seen.size == (40, 56)
    expected = served.first.model.predict(photo)
    assert seen.values["semantic"].dtype == torch.uint8
    assert torch.equal(seen.values["semantic"].long(), expected["semantic"])
    assert torch.equal(seen.values["normal"], expected["normal"])


@pytest.mark.parametrize(("aspect", "fit"), [("squeeze", "resize"), ("letterbox", "pad"), ("crop", "tile")])
def test_photographs_are_seen_as_in_training(tmp_path, photo, aspect, fit):
    run = open_runs([write_run(tmp_path / "run", image_size=(32, 64), aspect=aspect)], "cpu").first
    seen = predict_photograph(run, Photograph("a.jpg", photo))
    for expected in (run.model.predict(photo, fit=fit), run.model.predict(photo)):
        assert torch.equal(seen.values["depth"], expected["depth"])
    assert "at 32 × 64" in run.summary


def test_all_tasks_stand_side_by_side(seen):
    shown = predictions_html(seen)
    for title in ("Image", "Semantic segmentation", "Depth", "Surface normals"):
        assert f"<figcaption>{title}" in shown
    assert 'data-height="40" data-width="56"' in shown
    assert "Ground truth" not in shown
    assert shown.count("mgm-over") == 3  # all but the photograph itself let it show through


def test_examples_come_with_their_truth(served):
    shown = predictions_html(predict_photograph(served.first, served.examples[0]))
    assert "Ground truth of this example" in shown
    assert shown.count("<img") == 8


def test_legends_explain_every_task_and_escape_classes(seen):
    shown = legends_html(seen)
    assert shown.count("<h4>") == 3
    assert "<b>thing" not in shown
    assert "2nd to 98th percentile" in shown


def test_confidence_is_that_of_the_model(served, seen, photo):
    shown = confidence_html(seen)
    assert shown.count("<img") == 3
    _, confidence = served.first.model.predict_with_confidence(photo)
    assert f"Surface normals: {confidence['normal'].mean():.1f}" in shown
    assert "1 (high)" in shown


TASKS = make_tasks(("semantic", "depth", "normal"), ("wall", "floor"))


def labelled(truth=None) -> Seen:
    semantic = torch.zeros(2, 3, dtype=torch.uint8)
    semantic[1, 2] = 1
    normal = torch.tensor([0.0, -1.0, 0.0]).view(3, 1, 1).expand(3, 2, 3)
    values = {"semantic": semantic, "depth": torch.arange(6.0).view(1, 2, 3), "normal": normal}
    run: Any = SimpleNamespace(model=SimpleNamespace(tasks=TASKS))
    return Seen(Photograph("a", np.zeros((2, 3, 3), np.uint8), truth or {}), run, values, values)


@pytest.mark.parametrize("x, y", [(2, 1), (9, 1), (2, 7)], ids=["inside", "right of it", "below it"])
def test_the_nearest_pixel_is_read(x, y):
    assert read_pixel(labelled(), x, y) == (
        "column 2, row 1 · semantic segmentation: floor · depth: 5.00 m · surface normals: (0.00, −1.00, 0.00), facing up"
    )
    assert "wall · depth: 3.00 m" in read_pixel(labelled(), 0, 1)
    assert read_pixel(labelled(), -1, -1).startswith("column 0, row 0")


def test_a_labelled_example_says_the_truth_too():
    truth = {"semantic": torch.full((2, 3), 255), "depth": torch.full((1, 2, 3), float("nan"))}
    truth["normal"] = torch.tensor([0.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 2, 3)
    line = read_pixel(labelled(truth), 0, 0)
    assert "wall (truth: no class)" in line
    assert "depth: 0.00 m (truth: unknown)" in line
    assert "facing towards the viewer)" in line


def test_points_have_the_wanted_colours_and_view(seen):
    pytest.importorskip("plotly")
    draw: Any = partial(points_figure, seen)
    narrow, wide = (draw(view, "photograph") for view in (30, 90))
    red, green, blue = seen.photograph.pixels[0, 0]
    assert f"rgb({red},{green},{blue})" in narrow.data[0].marker.color
    assert np.ptp(wide.data[0].x) > 2 * np.ptp(narrow.data[0].x)
    assert len(set(draw(60, "semantic").data[0].marker.color)) <= 3
    for view in (19, 121, -5):
        with pytest.raises(ConfigError, match="it must be from 20° to 120°"):
            draw(view, "photograph")


def test_without_depth_there_are_no_points(tmp_path, photo):
    run = write_run(tmp_path / "run", info=replace(INFO, tasks=("semantic",)))
    served = open_runs([run], "cpu")
    assert points_figure(predict_photograph(served.first, Photograph("a", photo)), 60, "photograph") is None


def test_downloads_hold_the_values(seen, tmp_path):
    files = {path.name: path for path in write_downloads(seen, tmp_path, 60)}
    kinds = "depth.npy depth.png depth_mm.png normal.npy normal.png points.ply semantic.npy semantic.png"
    assert sorted(files) == [f"holiday-a_{kind}" for kind in kinds.split()]
    depth = np.load(files["holiday-a_depth.npy"], allow_pickle=False)
    assert np.array_equal(depth, seen.values["depth"].numpy())
    with Image.open(files["holiday-a_depth_mm.png"]) as image:
        assert np.asarray(image) == pytest.approx(depth[0].clip(0) * 1000, abs=0.5)
    assert f"element vertex {(depth > 0).sum()}\n".encode() in files["holiday-a_points.ply"].read_bytes()
    with pytest.raises(ConfigError, match="from 20° to 120°"):
        write_downloads(seen, tmp_path, 5)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/etc/passwd", "a\0b" * 200, "", "\\..\\x.png"])
def test_no_name_leaves_the_folder_of_downloads(seen, tmp_path, name):
    folder = tmp_path / "inner"
    folder.mkdir()
    hostile = replace(seen, photograph=replace(seen.photograph, name=name))
    files = write_downloads(hostile, folder, 60)
    assert sorted(files) == sorted(folder.iterdir())
    assert list(tmp_path.iterdir()) == [folder]


def compared(served, photograph) -> str:
    first, second, *_ = served.runs.values()
    return comparison_html(photograph, (first, second))


def test_two_runs_are_compared_task_by_task(served, photo):
    first, second = served.runs
    shown = compared(served, Photograph("a", photo))
    assert shown.count("<figcaption>Difference") == 3
    assert "Difference (same to different)" in shown
    assert shown.count(f"<figcaption>{first}") == shown.count(f"<figcaption>{second}") == 3
    assert "° apart on average" in shown
    assert "Ground truth" not in shown
    assert compared(served, served.examples[0]).count("Ground truth") == 3


def test_what_cannot_be_compared_is_said(served, tmp_path, photo):
    with pytest.raises(ConfigError, match="choose two different ones"):
        comparison_html(Photograph("a", photo), (served.first, served.first))
    others = [write_run(tmp_path / task, info=replace(INFO, tasks=(task,))) for task in ("depth", "semantic")]
    with pytest.raises(ConfigError, match="have no task in common"):
        compared(open_runs(others, "cpu"), Photograph("a", photo))


def test_classes_of_another_meaning_are_not_compared(tmp_path, photo):
    other = replace(INFO, classes=("floor", "wall", "thing"))
    served = open_runs([write_run(tmp_path / "a"), write_run(tmp_path / "b", info=other)], "cpu")
    shown = compared(served, Photograph("a", photo))
    assert "Depth" in shown
    assert "Semantic" not in shown


def test_own_tasks_are_shown_in_their_unit_and_true_values_only_where_they_mean_the_same(tmp_path):
    runs = []
    for name, settings in (("plate", SETTINGS), ("kelvin", SETTINGS.replace("°C", "K"))):
        data = write_cells(tmp_path / name, settings=settings)
        info = open_source(str(data)).info
        runs.append(write_run(tmp_path / "runs" / name, info=info, data=str(data)))
    served = open_runs(runs, "cpu")
    own, other = (predict_photograph(run, served.examples[0]) for run in served.runs.values())
    line = read_pixel(own, 5, 20)
    assert line.count("(truth: ") == 4
    assert " · temperature: " in line
    assert " °C (truth: 39." in line
    assert "35.00 °C" in legends_html(own)
    assert set(own.photograph.truth) - set(other.photograph.truth) == {"heat"}
