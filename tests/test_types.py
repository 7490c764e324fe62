"""Sizes as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm.config import DataConfig
from mgm.errors import ConfigError
from mgm.types import Frame, parse_size, plain_size

SIDES = st.integers(1, 10**9 - 1)


@given(SIDES, SIDES)
def test_a_size_is_written_and_read_as_the_same(height, width):
    plain = plain_size((height, width))
    assert parse_size(plain) == (height, width)
    assert plain == (height if height == width else f"{height}x{width}")
    assert parse_size(str(plain)) == parse_size([height, width]) == (height, width)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("value", ["", "x", "3x", "x3", "3x4x5", "-3", "3.0", "1e2", "٣", (1, 2, 3), True, 10**9])
def test_what_is_no_size_is_one_clear_error(value):
    with pytest.raises(ConfigError, match="one number .a square. or HEIGHTxWIDTH, such as 96x128"):
        parse_size(value)


@pytest.mark.parametrize("value", [0, "0", "0x5", (5, 0)])
def test_no_size_is_empty(value):
    with pytest.raises(ConfigError, match="above 0"):
        parse_size(value)


def test_equal_sizes_are_equal_settings():
    assert DataConfig(image_size=(96, 128)) == DataConfig(image_size="96x128") == DataConfig(image_size="096X128")
    assert DataConfig(image_size=(64, 64)).image_size == 64
    assert DataConfig(image_size="96x128").size == (96, 128)
    assert hash(DataConfig(image_size=(64, 64))) == hash(DataConfig())


def test_frames_have_names_of_their_own():
    names = [str(Frame(size, aspect)) for size in ((8, 8), (8, 9)) for aspect in ("squeeze", "letterbox", "crop")]
    assert names == ["8", "8-letterbox", "8-crop", "8x9", "8x9-letterbox", "8x9-crop"]
    assert Frame((8, 9)).in_words == "8x9 px"
    assert Frame((8, 8), "crop").in_words == "8 px (crop)"
    frame = Frame((8, 9), "crop")
    assert Frame.of(frame) is frame
    assert Frame.of((8, 9)) == Frame.of("8x9") == Frame((8, 9))
