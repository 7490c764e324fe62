"""What shows how a training goes: lines, bar, several at once."""

import math
import sys
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from mgm.method.algorithm import stages
from mgm.runs.progress import RichProgress, with_unit
from mgm.tasks.base import MetricInfo
from mgm.training.callbacks import Watchers
from toys import toy_experiment, toy_tasks

SCORES = {"semantic": {"miou": 0.25}, "depth": {"abs_error_m": 0.611}, "normal": {"angle_deg": 31.4}}
MODEL = nn.Identity()


def progress():
    return RichProgress("mgm", toy_tasks(), stages(toy_experiment()), torch.device("cpu"))


def test_plain_lines_where_there_is_no_terminal(capsys, monkeypatch):
    times = iter(range(0, 1000, 2))
    monkeypatch.setattr("mgm.runs.progress.time.monotonic", lambda: next(times))
    with progress() as shown:
        shown.stage("joint", 0, 100, -math.inf)
        for done in range(1, 101):
            shown.step(done, {"task": 2.5, "refinement": 1.25})
        shown.validated(100, SCORES, 0.4, MODEL)
        shown.validated(100, SCORES, 0.3, MODEL)
        shown.stopped(90, 2)
        shown.stage("continued", 0, 10, -math.inf)
        shown.validated(1, SCORES, 0.2, MODEL)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "mgm joint 0/100"
    assert 5 < len(lines) < 40  # one in 30 seconds
    assert "\x1b" not in "".join(lines)
    assert "img/s" in lines[1]
    assert "GB" in lines[1]
    assert "task 2.500  refinement 1.250" in lines[1]
    assert lines[-6].startswith("mgm joint 100/100  0:00:00 left")
    assert lines[-5] == (
        "mgm joint 100/100  validation: semantic mIoU 0.250, depth absolute error 0.611 m, "
        "normal mean angle 31.4°, overall 1.49x constant (best of this stage so far)"
    )
    assert lines[-4].endswith("overall 1.35x constant")
    assert lines[-3] == "mgm joint 90/100  ends early: 2 validations without a better score in this stage"
    assert lines[-1].endswith("overall 1.22x constant (best of this stage so far)")


def test_a_resumed_stage_knows_its_best_score(capsys):
    with progress() as shown:
        shown.stage("joint", 40, 100, best=0.35)
        shown.validated(50, SCORES, 0.3, MODEL)
        shown.validated(60, SCORES, 0.4, MODEL)
    lines = [line for line in capsys.readouterr().err.splitlines() if "overall" in line]
    assert ["best of this stage" in line for line in lines] == [False, True]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_line_on_a_terminal_breaks_between_figures(capsys, monkeypatch, width):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    shown = progress()
    shown.validated(100, SCORES, 0.4, MODEL)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= width
    assert all(line.startswith("    ") for line in lines[1:])
    for figure in (
        "semantic mIoU 0.250",
        "depth absolute error 0.611 m",
        "overall 1.49x constant (best of this stage so far)",
    ):
        assert any(figure in line for line in lines)


def test_speed_counts_the_images_of_this_sitting(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("mgm.runs.progress.time.monotonic", lambda: now[0])
    with progress() as shown:
        shown.stage("joint", 40, 100, -math.inf)
        now[0] = 10.0
        assert shown._speed(60).startswith("0:00:20 left  8.0 img/s")  # 20 steps of 4 images in 10 s


def test_bar_in_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "180")
    with progress() as shown:
        shown.stage("joint", 0, 4, -math.inf)
        shown.step(4, {"task": 2.5})
        shown.validated(4, SCORES, 0.4, MODEL)
    err = capsys.readouterr().err
    assert "4/4" in err
    assert "mIoU 0.250" in err
    assert "task 2.500" in err


def test_units():
    assert with_unit(0.5, MetricInfo("mIoU", higher_is_better=True)) == "mIoU 0.500"
    assert with_unit(0.5, MetricInfo("RMSE", higher_is_better=False, unit="m")) == "RMSE 0.500 m"
    assert with_unit(float("nan"), MetricInfo("RMSE", higher_is_better=False)) == "RMSE –"


def test_watchers_are_all_told_and_closed():
    told = MagicMock()
    with Watchers([told.a, told.b]) as watchers:
        watchers.stage("joint", 0, 3, 0.1)
        watchers.step(1, {})
        watchers.validated(1, SCORES, 0.5, MODEL)
        watchers.stopped(1, 2)
    order = ["__enter__", "stage", "step", "validated", "stopped"]
    expected = [f"{member}.{name}" for name in order for member in "ab"]
    assert [name for name, *_ in told.mock_calls] == [*expected, "b.__exit__", "a.__exit__"]
    told.b.stage.assert_called_once_with("joint", 0, 3, 0.1)
