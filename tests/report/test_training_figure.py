import math

import numpy as np
import pytest
import torch
from torch import nn

from fake_runs import pixels
from mgm.method.networks import build_model
from mgm.method.recipes import make_experiment
from mgm.report import training_figure
from mgm.report.training_figure import TrainingFigure
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder


@pytest.fixture(scope="module")
def data():
    return load_data(make_experiment("mt", "tiny"), torch.device("cpu"))


@pytest.fixture
def model(data):
    return build_model(data.tasks, make_experiment("mt", "tiny").model, 0)


def draw(sheet, model, done=1):
    sheet.stage("joint", 0, 9, -math.inf)
    sheet.validated(done, {}, 0.0, model)
    return pixels(sheet.path)


def test_it_follows_the_model_and_leaves_it_alone(data, model, tmp_path, monkeypatch):
    monkeypatch.setattr(training_figure, "SHARE", 1e9)
    sheet = TrainingFigure(RunFolder(tmp_path), data)
    sheet.path.parent.mkdir()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = draw(sheet, model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert np.array_equal(draw(sheet, model), first)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    assert not np.array_equal(draw(sheet, model), first)
    assert [path.name for path in sheet.path.parent.iterdir()] == ["training.png"]


def test_it_takes_a_small_share_of_the_time(data, model, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(training_figure.time, "monotonic", lambda: now[0])
    drawn = []
    sheet = TrainingFigure(RunFolder(tmp_path), data)

    def slow(done, model):
        drawn.append(done)
        now[0] += 1.0

    monkeypatch.setattr(sheet, "_draw", slow)
    for done in range(1, 41):
        sheet.validated(done, {}, 0.0, nn.Identity())
        now[0] += 1.0
    assert drawn == [1, 21]
