"""Pictures and labels of any shape in images of one size, and both alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm.data.images import box_in, in_view, planes, resize_image, resize_levels
from mgm.data.targets import resize_target
from mgm.types import IGNORE_INDEX, Frame

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
ASPECTS = st.sampled_from(["squeeze", "letterbox", "crop"])
WIDE = np.arange(2 * 6).reshape(2, 6)


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
