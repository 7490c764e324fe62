import numpy as np
import pytest
import torch
from PIL import Image

from mgm.report.figures.contact_sheet import contact_sheet
from mgm.tasks import TASKS, make_tasks


def sheet(path, count, tasks, targets, scenes):
    names = [f"a/very/long/folder/image_{number:05d}" for number in range(count)]
    contact_sheet(path, torch.rand(count, 3, 32, 32) * 2 - 1, targets, tasks, scenes, names)
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB"))
    assert pixels.std() > 10
    return pixels


def labels(tasks, count):
    generator = torch.Generator().manual_seed(0)
    return {
        name: task.decode(torch.rand(count, task.channels, 32, 32, generator=generator)) for name, task in tasks.items()
    }


@pytest.mark.parametrize("names", [("semantic",), ("depth",), tuple(TASKS)])
@pytest.mark.parametrize("count", [1, 5, 16])
def test_any_number_of_samples_and_tasks_fits_on_a_screen(tmp_path, names, count):
    tasks = make_tasks(names, ("wall", "floor"))
    pixels = sheet(tmp_path / "a.png", count, tasks, labels(tasks, count), ["living_room"] * count)
    assert pixels.shape[0] < 1200
    assert pixels.shape[1] < 2400


def test_samples_without_labels_or_scene(tmp_path):
    tasks = make_tasks(("semantic", "depth"), ("wall", "floor"))
    targets = labels(tasks, 3)
    targets["semantic"][1] = 255
    del targets["depth"]
    pixels = sheet(tmp_path / "a.png", 3, tasks, targets, ["chair, table", "", ""])
    assert (pixels == (236, 238, 240)).all(-1).sum() > 4 * 150 * 150


def test_no_labels_at_all(tmp_path):
    assert sheet(tmp_path / "a.png", 2, make_tasks(("depth",)), {}, []).shape[1] > 200
