from __future__ import annotations

import base64
import io
import re

import numpy as np
import torch
from PIL import Image

from mgm.demo.markup import headline, legend, picture_source, reading, sentence, tile, tiles
from mgm.tasks import TASKS, make_tasks

EVIL = "<script>alert('x')</script>"


def decoded(address: str) -> np.ndarray:
    kind, _, content = address.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_picture_travels_inside_its_address():
    pixels = np.full((6, 8, 3), 200, np.uint8)
    back = decoded(picture_source(pixels))
    assert back.shape == (6, 8, 3)
    assert abs(back.astype(int) - 200).max() < 8


def test_names_are_escaped_wherever_they_are_shown():
    pixels = np.zeros((2, 2, 3), np.uint8)
    task = make_tasks(("semantic",), (EVIL, "b"))
    shown = "".join(
        (
            tile(EVIL, pixels, f'"{EVIL}', reads=True),
            tiles([], pixels, title=EVIL),
            sentence(EVIL),
            reading(EVIL, 3, 4),
            headline([(EVIL, EVIL)]),
            legend(task, {"semantic": torch.zeros(2, 2, dtype=torch.uint8)}),
        )
    )
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 9
    assert 'alt="&quot;' in shown
    assert 'data-place="3,4"' in shown


def test_tiles_say_their_size_to_the_reading_only_when_they_are_read():
    pixels = np.zeros((2, 2, 3), np.uint8)
    assert 'data-height="40" data-width="56"' in tiles([], pixels, size=(40, 56))
    assert "data-width" not in tiles([], pixels)
    assert 'tabindex="0"' in tile("a", pixels, "a", reads=True)
    assert "tabindex" not in tile("a", pixels, "a")


def test_the_legend_names_classes_with_their_colour_and_share():
    task = make_tasks(("semantic",), ("wall", "night_stand", "floor"))
    value = torch.zeros(20, 20, dtype=torch.uint8)
    value[0, 0], value[10:] = 1, 2
    shown = legend(task, {"semantic": value})
    assert re.findall(r"<span>(.*?)</span><b>(.*?)</b>", shown) == [
        ("floor", "50 %"),
        ("wall", "50 %"),
        ("night stand", "< 1 %"),
    ]
    colour = task["semantic"].colour(torch.tensor([[[2]]]))[0, :, 0, 0].tolist()
    assert f"rgb({', '.join(map(str, colour))})" in shown


def test_the_legend_of_depth_has_its_scale_and_the_range_found():
    task = make_tasks(("depth",))
    shown = legend(task, {"depth": torch.tensor([[[1.0, 2.0, 4.5]]])})
    assert "10 m" in shown
    assert "here 1.00 to 4.50, median 2.00 m" in shown
    near = task["depth"].colour(torch.zeros(1, 1, 1, 1))[0, :, 0, 0].tolist()
    assert f"to right, rgb({' '.join(map(str, near))})" in shown
    assert "no value" in legend(task, {"depth": torch.full((1, 1, 1), float("nan"))})


def test_every_task_has_a_legend():
    tasks = make_tasks(tuple(TASKS), ("a", "b"))
    values = {name: torch.ones(task.channels, 4, 4) for name, task in tasks.items()}
    values["semantic"] = torch.zeros(4, 4, dtype=torch.uint8)
    shown = legend(tasks, values)
    for task in tasks.values():
        assert f"<h4>{task.title}</h4>" in shown
    assert shown.count("<img") == 2  # the ball of normals and the square of curvatures
