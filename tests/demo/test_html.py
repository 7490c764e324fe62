from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from mgm.demo.html import Tile, html, page_css, reading_script, source

EVIL = "<script>alert('x')</script>"


def test_an_image_travels_inside_the_page():
    pixels = np.full((6, 8, 3), 200, np.uint8)
    kind, _, content = source(pixels).partition(",")
    assert kind == "data:image/webp;base64"
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert back.shape == (6, 8, 3)
    assert abs(back.astype(int) - 200).max() < 8


def test_names_are_escaped_wherever_they_are_shown():
    pixels = np.zeros((2, 2, 3), np.uint8)
    shown = "".join(
        (
            html("tiles", [Tile(EVIL, pixels, f'"{EVIL}')], pixels, (2, 2), title=EVIL),
            html("strip", EVIL, [(EVIL, [pixels])]),
            html("sentence", EVIL),
            html("reading", EVIL, 3, 4),
            html("headline", [(EVIL, EVIL)]),
            html("legends", [(EVIL, "")]),
        )
    )
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 12
    assert 'data-place="3,4"' in shown


def test_only_tiles_with_a_size_are_read():
    tile = Tile("a", np.zeros((2, 2, 3), np.uint8), "a")
    read = html("tiles", [tile], tile.pixels, (40, 56))
    assert 'data-height="40" data-width="56"' in read
    assert 'tabindex="0"' in read
    plain = html("tiles", [tile], tile.pixels)
    assert "data-width" not in plain
    assert "tabindex" not in plain


def test_style_and_script_are_there_and_load_nothing():
    assert ".mgm-tiles" in page_css()
    assert ".legend" in page_css()
    assert "trigger('select'" in reading_script()
    assert "http" not in page_css() + reading_script()
