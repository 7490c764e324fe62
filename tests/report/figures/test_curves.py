import json

import numpy as np
import pytest

from fake_runs import pixels, write_log
from mgm.errors import RunError
from mgm.report.figures.curves import curve_figure, draw_scores
from mgm.report.history import read_history


def test_every_run_is_drawn(tmp_path):
    ours = write_log(tmp_path / "ours.jsonl")
    baseline = write_log(tmp_path / "baseline.jsonl", joint=False, scale=0.8)
    curve_figure(tmp_path / "one.png", {"MGM": ours})
    curve_figure(tmp_path / "two.png", {"MGM": ours, "MT ($\\baseline$)": baseline})
    one, two = pixels(tmp_path / "one.png"), pixels(tmp_path / "two.png")
    assert one.shape == two.shape
    assert min(one.shape[:2]) > 400
    assert one.std() > 5
    assert not np.array_equal(one, two)


def test_the_ring_is_explained_once(tmp_path):
    from matplotlib.figure import Figure

    histories = {name: read_history(write_log(tmp_path / f"{name}.jsonl")) for name in ("one", "two")}
    axes = Figure().subplots()
    draw_scores(axes, "depth", histories)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "one", "best value", "two", "start of joint training",
    ]  # fmt: skip


def test_many_lines_have_their_legend_below_their_own_panel(tmp_path):
    from matplotlib.figure import Figure

    histories = {name: read_history(write_log(tmp_path / f"{name}.jsonl")) for name in "abcdef"}
    alone, several = Figure(), Figure()
    draw_scores(alone.add_subplot(), "depth", histories)
    first = several.add_subplot(1, 2, 1)  # the others are added when it has been drawn
    draw_scores(first, "depth", histories)
    assert (len(alone.legends), alone.axes[0].get_legend()) == (1, None)
    assert several.legends == []
    assert len(first.get_legend().get_texts()) == len(alone.legends[0].get_texts())


def test_vector_graphics(tmp_path):
    curve_figure(tmp_path / "a.svg", {"MGM": write_log(tmp_path / "a.jsonl", joint=False)})
    assert "<svg" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_scores_that_are_nan(tmp_path):
    curve_figure(tmp_path / "a.png", {"MGM": write_log(tmp_path / "a.jsonl", joint=False, nan=True)})
    assert pixels(tmp_path / "a.png").std() > 5


@pytest.mark.parametrize("logs", [{}, {"MGM": "absent.jsonl"}, {"MGM": "empty.jsonl"}])
def test_nothing_logged_yet(tmp_path, logs):
    (tmp_path / "empty.jsonl").touch()
    curve_figure(tmp_path / "a.png", {title: tmp_path / name for title, name in logs.items()})
    assert pixels(tmp_path / "a.png").std() > 0


def test_damaged_metrics_log_leaves_no_picture(tmp_path):
    (tmp_path / "a.jsonl").write_text("{\n" + json.dumps({"stage": "joint", "step": 1}) + "\n")
    with pytest.raises(RunError, match="line 1"):
        curve_figure(tmp_path / "a.png", {"MGM": tmp_path / "a.jsonl"})
    assert not (tmp_path / "a.png").exists()
