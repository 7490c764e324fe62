from base64 import b64decode
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mgm.report.figures.curves import draw_bands, draw_gradients, draw_losses, draw_scores
from mgm.report.history import History, stages_of, tasks_of
from mgm.report.html.rendering import charts


def history(scale=1.0, joint=True):
    steps = [10, 20, 30]
    return History(
        losses={"multi_task": {"task": (steps, [3.0, 2.0, 1.0])}, "joint": {"task": (steps, [1.0, 0.9, scale])}},
        scores={"depth": (steps, [2.0 * scale, 1.5 * scale, scale]), "semantic": (steps, [0.1, 0.2, float("nan")])},
        joint_start=15 if joint else None,
    )


def score_charts(histories):
    return charts(draw_scores, tasks_of(histories.values()), histories)


def loss_charts(histories):
    return charts(draw_losses, stages_of(histories.values()), histories)


def text_of(chart):
    return " ".join(ElementTree.fromstring(b64decode(chart.uri.partition(",")[2])).itertext())


def test_a_chart_per_task_and_per_stage():
    histories = {"mt": history(joint=False), "mgm": history(1.2)}
    scores, losses = score_charts(histories), loss_charts(histories)
    assert [chart.title for chart in scores] == ["Semantic segmentation", "Depth"]
    assert scores[1].alt == "Depth: absolute error [m], lower is better against steps"
    assert [chart.title for chart in losses] == ["Stage 1: network alone", "Stage 3: joint training"]
    for chart in (*scores, *losses):
        assert {"mt", "mgm"} & set(text_of(chart).replace("(", " ").replace(")", " ").split())


def test_titles_are_text():
    hostile = '<script>alert("x")</script> $a$ & b'
    (first, _) = loss_charts({hostile: history(), "mgm": history()})
    assert hostile in text_of(first)


def test_bands_are_mean_and_deviation_where_all_runs_have_come():
    from matplotlib.figure import Figure

    short = history(3.0)
    short.scores["depth"] = ([10, 20], [6.0, 4.5])
    axes: Any = Figure().add_subplot()
    unscored = History(scores={"depth": ([10], [float("nan")])})
    groups = {"MT": [history(1.0), short], "MGM": [history(1.0)], "none": [History()], "final": [unscored]}
    draw_bands(axes, "depth", groups)
    mean, single = axes.lines[:2]
    assert mean.get_xdata().tolist() == [10, 20]
    assert mean.get_ydata().tolist() == [4.0, 3.0]
    assert single.get_ydata().tolist() == [2.0, 1.5, 1.0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    deviation = np.std([2.0, 6.0], ddof=1)
    assert heights.max() == pytest.approx(4 + deviation)
    assert heights.min() == pytest.approx(min(4 - deviation, 3 - np.std([1.5, 4.5], ddof=1)))


def test_no_metrics_log_gives_no_chart():
    assert score_charts({"mt": History()}) == loss_charts({"mt": History()}) == []


def test_what_acts_on_the_encoder():
    log = history()
    log.gradients = {
        "norm": {
            "task": ([20, 30], [2.0, 1.0]),
            "self_supervision": ([20, 30], [0.2, 0.1]),
            "auxiliary": ([20, 30], [0.2, 0.1]),
        },
        "cosine": {"task": ([20, 30], [1.0, 1.0]), "self_supervision": ([20, 30], [0.1, -0.1])},
        "ratio": {"auxiliary": ([20, 30], [0.1, 0.1])},
    }
    norms, cosines = charts(draw_gradients, ("norm", "cosine"), log)
    assert norms.title == "Gradient norm on the encoder: auxiliary / task 0.10"
    assert "self supervision" in text_of(norms)
    assert "all auxiliary losses" in text_of(norms)
    assert cosines.alt == "Gradient direction on the encoder: cosine to the task gradient against steps"
