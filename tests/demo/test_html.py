import numpy as np

from mgm.demo.html import Tile, html
from mgm.report.html.rendering import Chart
from mgm.report.html.run import Mistakes
from mgm.report.pictures import ImageTable, Picture
from mgm.tasks import make_tasks
from mgm.tasks.legend import Legend

EVIL = "<script>alert('x')</script>"


def test_names_are_escaped_wherever_they_are_shown():
    pixels = np.zeros((2, 2, 3), np.uint8)
    shown = "".join(
        (
            html("tiles", [Tile(EVIL, pixels, f'"{EVIL}')], pixels, (2, 2), title=EVIL),
            html("strip", EVIL, [(EVIL, [pixels])]),
            html("sentence", EVIL),
            html("reading", EVIL, 3, 4),
            html("headline", [(EVIL, EVIL)]),
            html("mistakes", Mistakes([(Chart(EVIL, "", EVIL), [EVIL])], ImageTable([Picture(None, EVIL, EVIL)], []))),
            html("legends", [Legend(EVIL, make_tasks(("depth",))["depth"].error_scale())]),
        )
    )
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 14
    assert 'data-place="3,4"' in shown


def test_only_tiles_with_a_size_are_read():
    tile = Tile("a", np.zeros((2, 2, 3), np.uint8), "a")
    read = html("tiles", [tile], tile.pixels, (40, 56))
    assert 'data-height="40" data-width="56"' in read
    assert 'tabindex="0"' in read
    plain = html("tiles", [tile], tile.pixels)
    assert "data-width" not in plain
    assert "tabindex" not in plain
