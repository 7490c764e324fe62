import pytest
import torch

from fake_runs import pixels
from mgm.report.figures.contact_sheet import contact_sheet
from mgm.tasks import TASKS, make_tasks


def sheet(path, count, tasks, targets, scenes):
    names = [f"a/very/long/folder/image_{number:05d}" for number in range(count)]
    contact_sheet(path, torch.rand(count, 3, 32, 32) * 2 - 1, targets, tasks, scenes, names)
    drawn = pixels(path)
    assert drawn.std() > 10
    return drawn


def labels(tasks, count):
    generator = torch.Generator().manual_seed(0)
    return {
        name: task.decode(torch.rand(count, task.channels, 32, 32, generator=generator)) for name, task in tasks.items()
    }


@pytest.mark.parametrize("names", [("semantic",), ("depth",), tuple(TASKS)])
@pytest.mark.parametrize("count", [1, 5, 16])
def test_any_number_of_samples_and_tasks_fits_on_a_screen(tmp_path, names, count):
    tasks = make_tasks(names, ("wall", "floor"))
    height, width, _ = sheet(tmp_path / "a.png", count, tasks, labels(tasks, count), ["living_room"] * count).shape
    assert height < 1200
    assert width < 2400


def test_samples_without_labels_or_scene(tmp_path):
    tasks = make_tasks(("semantic", "depth"), ("wall", "floor"))
    targets = labels(tasks, 3)
    targets["semantic"][1] = 255
    del targets["depth"]
    drawn = sheet(tmp_path / "a.png", 3, tasks, targets, ["chair, table", "", ""])
    assert (drawn == (236, 238, 240)).all(-1).sum() > 4 * 150 * 150


def test_no_labels_at_all(tmp_path):
    assert sheet(tmp_path / "a.png", 2, make_tasks(("depth",)), {}, []).shape[1] > 200
