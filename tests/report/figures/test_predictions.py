from dataclasses import replace

import numpy as np
import pytest
import torch

from fake_runs import pixels
from mgm.report.comparison import Comparison
from mgm.report.figures.panels import ERRORS_HEIGHT
from mgm.report.figures.predictions import MOST_COLUMNS, draw_table, photograph_figure, prediction_figure
from mgm.report.pictures import prediction_table
from mgm.tasks import TASKS, make_tasks

CLASSES = ("wall", "floor", "a cupboard of considerable width", "$bed$", "椅子")
SIZE = 32
SCREEN = (2400, 1200)


def example(names, count=2, models=("MT",)) -> Comparison:
    """Images, and predictions whose decoded values are the labels."""
    tasks = make_tasks(names, CLASSES)
    generator = torch.Generator().manual_seed(0)
    outputs = {name: torch.rand(count, task.channels, SIZE, SIZE, generator=generator) for name, task in tasks.items()}
    targets = {name: tasks[name].decode(output) for name, output in outputs.items()}
    images = torch.rand(count, 3, SIZE, SIZE, generator=generator) * 2 - 1
    return Comparison(images, targets, {model: dict(outputs) for model in models}, tasks, ["a room"])


def draw(path, shown):
    prediction_figure(path, shown)
    return pixels(path)


def colours(figure):
    return {tuple(colour) for colour in np.unique(figure.reshape(-1, 3), axis=0)}


def test_three_tasks_and_two_models_fit_on_a_screen(tmp_path):
    height, width, _ = draw(tmp_path / "a.png", example(("semantic", "depth", "normal"), 4, ("MT", "MGM"))).shape
    assert width < SCREEN[0]
    assert height < SCREEN[1]


def test_with_many_models_errors_stand_below(tmp_path):
    names = tuple(TASKS)
    models = ("ST", "MT", "MGM")
    assert 1 + len(names) * (1 + 2 * len(models)) > MOST_COLUMNS
    figure = draw(tmp_path / "a.png", example(names, 2, models))
    assert figure.shape[1] < 1.5 * SCREEN[0]
    assert figure.std() > 20


def test_a_table_without_scores_has_no_scale_of_errors(tmp_path):
    table = prediction_table(example(("depth",)))
    draw_table(tmp_path / "a.png", table)
    draw_table(tmp_path / "b.png", replace(table, tasks=[replace(table.tasks[0], metric="")]))
    scored, plain = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert scored.shape[0] - plain.shape[0] == pytest.approx(120 * ERRORS_HEIGHT, abs=1)
    assert np.array_equal(plain[60:300], scored[60:300])


def test_figure_follows_the_predictions_and_is_reproducible(tmp_path):
    shown = example(("depth",))
    first = draw(tmp_path / "a.png", shown)
    assert np.array_equal(draw(tmp_path / "b.png", shown), first)
    shown.predictions["MT"]["depth"] = shown.predictions["MT"]["depth"].flip(-1)
    assert not np.array_equal(draw(tmp_path / "c.png", shown), first)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]


def test_label_and_legend_have_the_colours_of_the_task(tmp_path):
    shown = example(("semantic",), 1)
    plain = draw(tmp_path / "a.png", shown)
    assert {entry.colour for entry in shown.tasks["semantic"].legend(shown.values("semantic")).classes} <= colours(
        plain
    )
    shown.targets["semantic"][0, :4] = 255
    holes = draw(tmp_path / "b.png", shown)
    assert (holes == 40).all(-1).sum() > (plain == 40).all(-1).sum() + 1000


@pytest.mark.parametrize("absent", ["task", "labels"])
def test_missing_labels_are_grey_fields(tmp_path, absent):
    grey = (236, 238, 240)
    shown = example(("semantic", "depth"), 1)
    assert grey not in colours(draw(tmp_path / "whole.png", shown))
    if absent == "task":
        del shown.targets["depth"]
    else:
        shown.targets["depth"] = torch.full_like(shown.targets["depth"], torch.nan)
    partial = draw(tmp_path / "partial.png", shown)
    assert (partial == grey).all(-1).sum() > 2 * 100 * 100  # of the label and of the error map


def test_a_model_may_lack_a_task_and_predict_in_low_precision(tmp_path):
    shown = example(("semantic", "depth"), 1, ("ST", "MGM"))
    del shown.predictions["ST"]["semantic"]
    shown.predictions["MGM"]["depth"] = shown.predictions["MGM"]["depth"].bfloat16().requires_grad_()
    assert draw(tmp_path / "a.png", shown).std() > 10


def test_pdf_keeps_text_as_text(tmp_path):
    prediction_figure(tmp_path / "a.pdf", example(("depth",), 1))
    content = (tmp_path / "a.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/FontFile2" in content


@pytest.mark.parametrize("shape", [(32, 32), (20, 90), (90, 20), (300, 700), (900, 2), (2, 900)])
def test_figure_of_one_photograph(shape):
    tasks = make_tasks(("semantic", "depth", "normal"), CLASSES)
    image = torch.rand(3, *shape) * 2 - 1
    values = {name: task.decode(torch.rand(1, task.channels, *shape))[0] for name, task in tasks.items()}
    figure = photograph_figure(image, values, tasks)
    assert figure.dtype == np.uint8
    assert figure.shape[1] > 4 * 200
    assert figure.shape[0] < 4000
    values["depth"] = values["depth"].flip(-1)
    assert not np.array_equal(photograph_figure(image, values, tasks), figure)
