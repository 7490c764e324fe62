import re
from xml.etree import ElementTree

import numpy as np
import pytest

from mgm.report.curves import History, draw_bands
from mgm.report.pages.charts import band_charts, run_charts


def history(scale=1.0, joint=True):
    steps = [10, 20, 30]
    return History(
        losses={"multi_task": {"task": (steps, [3.0, 2.0, 1.0])}, "joint": {"task": (steps, [1.0, 0.9, scale])}},
        scores={"depth": (steps, [2.0 * scale, 1.5 * scale, scale]), "semantic": (steps, [0.1, 0.2, float("nan")])},
        joint_start=15 if joint else None,
    )


def test_a_chart_per_task_and_per_stage():
    charts = run_charts({"mt": history(joint=False), "mgm": history(1.2)})
    assert charts.titles == ["mt", "mgm"]
    assert [chart.title for chart in charts.scores] == ["Semantic segmentation: mIoU ↑", "Depth: absolute error [m] ↓"]
    assert [chart.title for chart in charts.losses] == ["Stage 1: M alone", "Stage 3: joint training"]
    assert "updates of M" in charts.scores[0].alt
    names = []
    for chart in (*charts.scores, *charts.losses):
        root = ElementTree.fromstring(str(chart.svg).replace("xlink:href", "href"))
        assert "width" not in root.attrib
        assert "viewBox" in root.attrib
        names += re.findall(r'\bid="([^"]+)"', chart.svg)
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', chart.svg))
        assert used <= set(names), "a reference that leads nowhere"
    assert len(names) == len(set(names)), "two charts share a name"


def test_colours_are_the_pages():
    charts = run_charts({"mt": history(), "mgm": history(1.2)})
    svg = str(charts.scores[1].svg)
    assert {"var(--c1)", "var(--c2)", "var(--ink)", "var(--line)", "var(--faint)"} <= set(
        re.findall(r"var\(--\w+\)", svg)
    )
    assert not re.findall(r"#5e1[12]", svg), "a stand-in colour is left"
    assert "DejaVu" not in svg


def test_titles_are_text():
    hostile = '<script>alert("x")</script> $a$ & b'
    charts = run_charts({hostile: history(), "mgm": history()})
    svg = str(charts.losses[0].svg)
    assert "<script" not in svg
    text = " ".join(ElementTree.fromstring(svg).itertext())
    assert hostile in text


def test_bands_are_mean_and_deviation_where_all_runs_have_come():
    from matplotlib.figure import Figure

    short = history(3.0)
    short.scores["depth"] = ([10, 20], [6.0, 4.5])
    axes = Figure().add_subplot()
    draw_bands(axes, "depth", {"MT": [history(1.0), short], "MGM": [history(1.0)], "none": [History()]})
    mean, single = axes.lines[:2]
    assert mean.get_xdata().tolist() == [10, 20]
    assert mean.get_ydata().tolist() == [4.0, 3.0]
    assert single.get_ydata().tolist() == [2.0, 1.5, 1.0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    deviation = np.std([2.0, 6.0], ddof=1)
    assert heights.max() == pytest.approx(4 + deviation)
    assert heights.min() == pytest.approx(min(4 - deviation, 3 - np.std([1.5, 4.5], ddof=1)))


def test_no_journal_gives_no_chart():
    assert band_charts({"MT": [History()]}).scores == []
    assert run_charts({"mt": History()}).losses == []
