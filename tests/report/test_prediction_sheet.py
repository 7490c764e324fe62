import numpy as np
import pytest
import torch
from PIL import Image

from mgm.report.legends import ERROR_ENDS, classes_seen, has_classes
from mgm.report.predictions import predict_picture, prediction_sheet
from mgm.report.tiles import coloured, error_map, photograph, tile_size
from mgm.tasks import TASKS, make_tasks

CLASSES = ("wall", "floor", "a cupboard of considerable width", "$bed$", "椅子")
SIZE = 32


def examples(tasks, count=2, seed=0):
    """Images, predictions, and targets that the predictions meet exactly."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, SIZE, SIZE, generator=generator) * 2 - 1
    predictions = {
        name: torch.rand(count, task.channels, SIZE, SIZE, generator=generator) for name, task in tasks.items()
    }
    targets = {name: tasks[name].decode(prediction) for name, prediction in predictions.items()}
    return images, predictions, targets


def draw(path, *arguments, **options):
    prediction_sheet(path, *arguments, **options)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.array(picture)
    assert pixels.ndim == 3
    assert pixels.std() > 5
    return pixels


def test_sheet_of_all_tasks_grows_with_images_and_models(tmp_path):
    tasks = make_tasks(tuple(TASKS), CLASSES)
    images, predictions, targets = examples(tasks)
    one = draw(tmp_path / "one.png", images[:1], targets, {"MT": predictions}, tasks)
    two = draw(tmp_path / "two.png", images, targets, {"MT": predictions, "MGM": predictions}, tasks, names=["0001"])
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] > 2 * one.shape[0]
    assert one.shape[1] > 2 * len(tasks) * tile_size(SIZE, SIZE)[1]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one.png", "two.png"]


def test_sheet_shows_the_predictions(tmp_path):
    tasks = make_tasks(("depth",))
    images, predictions, targets = examples(tasks)
    same = draw(tmp_path / "a.png", images, targets, {"MGM": predictions}, tasks)
    again = draw(tmp_path / "b.png", images, targets, {"MGM": predictions}, tasks)
    other = draw(tmp_path / "c.png", images, targets, {"MGM": {"depth": predictions["depth"] + 0.5}}, tasks)
    assert np.array_equal(same, again)
    assert not np.array_equal(same, other)


def test_truth_is_enlarged_without_blending_and_predictions_are_interpolated(tmp_path):
    tasks = make_tasks(("semantic",), ("wall", "floor"))
    logits = torch.zeros(1, 2, SIZE, SIZE)
    logits[:, 1, ::2] = 1
    targets = {"semantic": tasks["semantic"].decode(logits)}
    size = tile_size(SIZE, SIZE)
    assert size == (160, 160)
    tile = coloured(tasks["semantic"], targets["semantic"][0], size)
    assert len(np.unique(tile.reshape(-1, 3), axis=0)) == 2
    sheet = draw(tmp_path / "a.png", torch.zeros(1, 3, SIZE, SIZE), targets, {"MGM": {"semantic": logits}}, tasks)
    own = tasks["semantic"].decode_at(logits, size)
    smooth = tasks["semantic"].colour(own)[0].permute(1, 2, 0).numpy()
    assert not np.array_equal(smooth, tile)
    assert places_of(smooth, sheet) == 1  # the prediction
    assert places_of(tile, sheet) == 1  # the truth


def places_of(tile, sheet) -> int:
    windows = np.lib.stride_tricks.sliding_window_view(sheet, tile.shape)[..., 0, :, :, :]
    corner = (windows[..., 0, 0, :] == tile[0, 0]).all(-1) & (windows[..., -1, -1, :] == tile[-1, -1]).all(-1)
    return sum(np.array_equal(windows[y, x], tile) for y, x in np.argwhere(corner))


@pytest.mark.parametrize("absent", ["task", "labels", "all"])
def test_missing_targets_are_drawn_as_such(tmp_path, absent):
    tasks = make_tasks(("semantic", "depth"), CLASSES)
    images, predictions, targets = examples(tasks, count=1)
    whole = draw(tmp_path / "whole.png", images, targets, {"MGM": predictions}, tasks)
    if absent == "task":
        del targets["depth"]
    elif absent == "labels":
        targets["semantic"] = tasks["semantic"].missing(1, SIZE, SIZE)
        targets["depth"] = tasks["depth"].missing(1, SIZE, SIZE)
    else:
        targets = {}
    partial = draw(tmp_path / "partial.png", images, targets, {"MGM": predictions}, tasks)
    assert partial.shape == whole.shape
    assert (partial == 225).all(-1).sum() > (whole == 225).all(-1).sum() + 2 * 150 * 150


def test_a_model_may_lack_a_task(tmp_path):
    tasks = make_tasks(("semantic", "depth"), CLASSES)
    images, predictions, targets = examples(tasks, count=1)
    draw(tmp_path / "a.png", images, targets, {"ST": {"depth": predictions["depth"]}, "MGM": predictions}, tasks)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_predictions_in_low_precision_and_with_gradients(tmp_path):
    tasks = make_tasks(("depth", "normal"))
    images, predictions, targets = examples(tasks, count=1)
    low = {name: prediction.bfloat16().requires_grad_() for name, prediction in predictions.items()}
    draw(tmp_path / "a.png", images, targets, {"MGM": low}, tasks)
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize("shape", [(32, 32), (20, 90), (90, 20), (300, 700)])
def test_picture_of_one_photograph(shape):
    tasks = make_tasks(("semantic", "depth", "normal"), CLASSES)
    image = torch.rand(3, *shape) * 2 - 1
    values = {name: task.decode(torch.rand(1, task.channels, *shape))[0] for name, task in tasks.items()}
    picture = predict_picture(image, values, tasks)
    height, width = tile_size(*shape)
    assert picture.dtype == np.uint8
    assert picture.shape[0] > height + 100
    assert picture.shape[1] > 4 * width
    assert max(height, width) <= 640
    values["depth"] = values["depth"] + 3
    assert not np.array_equal(predict_picture(image, values, tasks), picture)


def test_photograph_keeps_its_colours():
    image = torch.tensor([-1.0, 0.0, 1.5]).view(3, 1, 1).expand(3, 8, 8)
    assert photograph(image, (16, 16))[3, 5].tolist() == [0, 128, 255]
    assert photograph(image, (4, 4))[3, 3].tolist() == [0, 128, 255]


def test_most_frequent_classes_come_first_and_ignored_pixels_nowhere():
    task = make_tasks(("semantic",), CLASSES)["semantic"]
    value = torch.tensor([[3, 3, 3, 255], [1, 1, 0, 255]])
    assert classes_seen(task, [value]) == [3, 1, 0]
    assert classes_seen(task, [value, torch.ones(2, 2, dtype=torch.int64)]) == [1, 3, 0]
    assert classes_seen(make_tasks(("depth",), CLASSES)["depth"], [torch.ones(1, 2, 2)]) == []


@pytest.mark.parametrize("name", [name for name in TASKS if name != "semantic"])
def test_ends_of_error_scales_are_the_tasks(name):
    """The number that the legend gives is where the task's error reaches 1."""
    task = make_tasks((name,))[name]
    end = float(ERROR_ENDS[name].rstrip(" m°"))
    assert not has_classes(task)

    def error(amount):
        if name == "normal":
            angle = torch.tensor(amount).deg2rad()
            value = torch.stack((angle.sin(), torch.tensor(0.0), angle.cos())).view(1, 3, 1, 1)
            return task.error(value, torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)).item()
        target = torch.full((1, task.channels, 1, 1), 0.5)
        return task.error(target + amount, target).item()

    assert error(0.5 * end) == pytest.approx(0.5, abs=1e-3)
    assert error(0.98 * end) < 1
    assert error(1.02 * end) == 1


def test_error_map_is_darkest_where_wrong():
    task = make_tasks(("semantic",), CLASSES)["semantic"]
    value = torch.tensor([[0, 1]])
    tile = error_map(task, value, torch.tensor([[0, 2]]), (1, 2)).astype(int)
    assert tile[0, 1].sum() < tile[0, 0].sum()
