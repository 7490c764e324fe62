"""Pictures and labels of any shape in images of one size, and both alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mgm.data.resizing import (
    box_in,
    fitted,
    in_view,
    planes,
    resize_image,
    resize_levels,
    resize_nearest,
    resize_target,
)
from mgm.errors import DataError
from mgm.types import IGNORE_INDEX, Frame

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
ASPECTS = st.sampled_from(["squeeze", "letterbox", "crop"])
WIDE = np.arange(2 * 6).reshape(2, 6)
RGB = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
LABELS = (np.arange(240) % 13).astype(np.uint8).reshape(12, 20)


def grey(values):
    return values[:, :, None].repeat(3, 2).astype(np.uint8)


@pytest.mark.parametrize(("values", "turn"), [(WIDE, np.asarray), (WIDE.T, np.transpose)], ids=["wide", "tall"])
def test_letterbox_by_hand(values, turn):
    """6 x 2 into 6 x 5: as it is, in the middle; the image repeats its edges, labels are missing around it."""
    frame = Frame((5, 6) if values is WIDE else (6, 5), "letterbox")
    image = np.array([WIDE[0], WIDE[0], WIDE[1], WIDE[1], WIDE[1]])
    labels = np.full((5, 6), -1)
    labels[1:3] = WIDE
    np.testing.assert_array_equal(resize_image(grey(values), frame), turn(image)[None].repeat(3, 0))
    classes = resize_target(values.astype(np.uint8), frame)
    np.testing.assert_array_equal(classes, turn(np.where(labels < 0, IGNORE_INDEX, labels)))
    assert classes.dtype == np.uint8
    numbers = resize_target(np.stack([values, values], axis=2).astype(float), frame)
    np.testing.assert_array_equal(numbers, turn(np.where(labels < 0, np.nan, labels))[None].repeat(2, 0))
    assert numbers.dtype == np.float32


@pytest.mark.parametrize(("values", "turn"), [(WIDE, np.asarray), (WIDE.T, np.transpose)], ids=["wide", "tall"])
def test_crop_by_hand(values, turn):
    """Of 6 x 2 the middle 2 x 2 is kept for a square, then scaled."""
    frame = Frame((4, 4), "crop")
    kept = turn(WIDE[:, 2:4])
    labels = kept.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(in_view(values, frame), kept)
    np.testing.assert_array_equal(resize_target(values.astype(np.uint8), frame), labels)
    np.testing.assert_array_equal(resize_target(values.astype(float), frame), labels[None])
    np.testing.assert_array_equal(resize_image(grey(values), frame), planes(resize_levels(grey(kept), 4, 4)))


def test_a_square_is_squeezed_as_ever():
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
    np.testing.assert_array_equal(resize_image(picture, 8), planes(resize_levels(picture, 8, 8)))


@given(SIZES, SIZES, ASPECTS)
def test_images_and_labels_cover_the_same_pixels(picture, size, aspect):
    """A label lies where its pixel does: rows and columns as colours, as classes and as numbers are the same."""
    frame = Frame(size, aspect)
    rows, columns = np.indices(picture)
    top, left, height, width = box_in(in_view(rows, frame).shape, frame)
    inside = np.zeros(size, bool)
    inside[top : top + height, left : left + width] = True
    for values in (rows, columns):
        numbers, classes = resize_target(values.astype(float), frame)[0], resize_target(values.astype(np.uint8), frame)
        np.testing.assert_array_equal(np.isfinite(numbers), inside)
        np.testing.assert_array_equal(classes == IGNORE_INDEX, ~inside)
        np.testing.assert_array_equal(numbers[inside], classes[inside])
    image = resize_image(grey(np.full(picture, 77)), frame)
    assert image.shape == (3, *size)
    assert (image == 77).all()


@given(SIZES, SIZES)
def test_a_crop_is_the_largest_part_of_its_shape_and_nothing_is_cut_twice(picture, size):
    frame = Frame(size, "crop")
    kept = in_view(np.zeros(picture), frame)
    assert kept.shape[0] == picture[0] or kept.shape[1] == picture[1]
    assert in_view(kept, frame).shape == kept.shape
    off = abs(kept.shape[0] * size[1] - kept.shape[1] * size[0])
    assert off < max(size)  # less than a pixel


@given(SIZES, SIZES)
def test_a_letterbox_keeps_the_shape_of_the_picture(picture, size):
    top, left, height, width = box_in(picture, Frame(size, "letterbox"))
    assert height == size[0] or width == size[1]
    assert min(height, width) >= 1
    assert abs(size[0] - height - 2 * top) <= 1
    assert abs(size[1] - width - 2 * left) <= 1
    scale = min(size[0] / picture[0], size[1] / picture[1])
    assert abs(height - scale * picture[0]) <= 1
    assert abs(width - scale * picture[1]) <= 1


def test_the_same_shape_is_scaled_and_another_one_refused():
    np.testing.assert_array_equal(
        fitted(LABELS[::2, ::2], "a", RGB, "b", scaled=True), LABELS[::2, ::2].repeat(2, 0).repeat(2, 1)
    )
    np.testing.assert_array_equal(fitted(RGB, "a", LABELS[:3, :5], "b", scaled=True), resize_nearest(RGB, 3, 5))
    assert fitted(np.zeros((5, 9)), "a", np.zeros((28, 50)), "b", scaled=True).shape == (28, 50)
    for wrong in (RGB[:, 1:], RGB[1:], RGB[:6], RGB[:6, :8]):
        with pytest.raises(DataError, match=rf"a is {wrong.shape[1]} x {wrong.shape[0]} pixels but b is 20 x 12"):
            fitted(wrong, "a", LABELS, "b", scaled=True)
    with pytest.raises(DataError, match="must match"):
        fitted(LABELS[::2, ::2], "a", RGB, "b")
    with pytest.raises(DataError, match="rotated.*EXIF"):
        fitted(np.rot90(RGB), "a", LABELS, "b")


def test_shrinking_averages():
    np.testing.assert_allclose(resize_levels(RGB, 6, 10), RGB.reshape(6, 2, 10, 2, 3).mean((1, 3)), atol=1)


def test_growing_is_smooth_and_mixed_axes_work():
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(12, 0)
    grown = resize_levels(ramp, 4, 80)
    assert grown.shape == (4, 80, 3)
    assert np.abs(np.diff(grown[0, 4:-4, 0].astype(int))).max() <= 4
    assert resize_levels(RGB, *RGB.shape[:2]).tolist() == RGB.tolist()


@given(st.integers(1, 40), st.integers(1, 40))
def test_nearest_copies_the_pixel_under_the_centre(old, new):
    source = resize_nearest(np.arange(old)[:, None], new, 1)[:, 0]
    centre = (np.arange(new) + 0.5) * old / new
    assert (np.abs(source + 0.5 - centre) <= 0.5 + 1e-9).all()


@pytest.mark.parametrize("new", [32, 64, 128, 256])
def test_nearest_agrees_with_pillow(new):
    labels = np.random.default_rng(new).integers(0, 255, (170, 223)).astype(np.uint8)
    theirs = np.array(Image.fromarray(labels).resize((new, new), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(resize_nearest(labels, new, new), theirs)
