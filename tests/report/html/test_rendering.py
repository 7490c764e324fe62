from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mgm.errors import DataError, RunError
from mgm.report.html.rendering import (
    LARGEST_WIDTH,
    Missing,
    attempt,
    data_uri,
    duration,
    file_uri,
    grouped,
    templates,
)
from mgm.report.pictures import Picture
from mgm.tasks import make_tasks
from pages import pixels


def test_only_what_users_can_mend_becomes_a_missing_section():
    def gone():
        raise DataError("the data are gone")

    def broken():
        raise ZeroDivisionError

    assert attempt(lambda: 3) == 3
    assert attempt(gone) == Missing("the data are gone")
    with pytest.raises(ZeroDivisionError):
        attempt(broken)


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "–"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (312, "5 min 12 s"),
        (3600, "1 h 0 min"),
        (7530, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_long_name_of_an_image_is_shortened_and_complete_in_its_tooltip():
    name = "2026-05-03_greenhouse_b_tray_024_after_rain"
    parts: Any = templates().get_template("parts.html").module
    tile = parts.tile(Picture(None, "none", "kitchen", name=name))
    assert f'title="{name}">2026-05-03_g…_after_rain</span>' in tile
    assert "kitchen" in tile


def test_counts():
    assert grouped(None) == "–"
    assert grouped(999) == "999"
    assert grouped(1234567).split("\N{NARROW NO-BREAK SPACE}") == ["1", "234", "567"]


def test_an_image_is_embedded_exactly_or_as_jpeg_where_that_is_smaller():
    flat = np.zeros((20, 20, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    assert data_uri(flat).startswith("data:image/png")
    assert np.array_equal(pixels(data_uri(flat)), flat)
    assert np.array_equal(pixels(data_uri(noise)), noise)  # JPEG has no opacity
    assert data_uri(noise[..., :3]).startswith("data:image/jpeg")


def test_files_are_embedded_scaled_down_or_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20)).save(path)
    assert pixels(file_uri(path)).shape == (20, 30, 3)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 2000, 3)).astype(np.uint8)).save(path)
    assert pixels(file_uri(path)).shape == (320, LARGEST_WIDTH, 3)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match="cannot be read as a PNG"):
        file_uri(path)


def test_a_legend_says_shares_and_escapes_names():
    task = make_tasks(("semantic",), ("wall", "<b>night_stand", "floor"))["semantic"]
    value = torch.zeros(20, 20, dtype=torch.uint8)
    value[0, 0], value[10:], value[1] = 1, 2, 255
    legend = templates().get_template("legend.html").module.legend  # type: ignore[attr-defined]
    text = str(legend(task.legend([value]), shares=True))
    assert "&lt;b&gt;night stand <b>&lt; 1 %</b>" in text.replace("< 1 %", "&lt; 1 %")
    assert text.index("floor <b>50 %</b>") < text.index("wall")
    assert "no label" in text
