"""Decoding label files: what a folder's tests do not reach."""

import re

import numpy as np
import pytest

from mgm.errors import DataError
from mgm.tasks.files import ClassFiles, DepthFiles, NumberFiles, check_labels, unit_normals


def test_labels_must_be_classes():
    check_labels(np.array([0, 3, 255]), 4, "x")
    for wrong in (4, -1, 254):
        with pytest.raises(DataError, match=f"x: label {wrong}"):
            check_labels(np.array([0, wrong]), 4, "x")


@pytest.mark.parametrize(("first", "wanted"), [(None, None), (0, [0, 1, 2]), (1, [255, 0, 1])])
def test_labels_below_the_first_class_mean_no_class(first, wanted):
    files = ClassFiles(first=first)
    values = np.array([[0.0, 1.0, 2.0, -1.0, np.nan, 255.0]])
    if wanted is None:
        with pytest.raises(DataError, match="label -1"):
            files.decode(values, 1, ("a", "b", "c"), "x")
        return
    labels = files.decode(values, 1, ("a", "b", "c"), "x")
    assert labels.tolist() == [[*wanted, 255, 255, 255]]


@pytest.mark.parametrize("files", [DepthFiles, NumberFiles])
@pytest.mark.parametrize("offset", [np.nan, np.inf])
def test_an_offset_is_a_finite_number(files, offset):
    assert "offset" in files(offset=offset).problem()
    assert not files(offset=-1).problem()


def test_vectors_without_a_direction_are_no_normals():
    vectors = np.array([[[0.0, 0.0, -2.0], [0.05, 0.0, 0.0], [np.inf, 0.0, 0.0]]], np.float32)
    normals = unit_normals(vectors)
    assert normals[0, 0].tolist() == [0, 0, -1]
    assert np.isnan(normals[0, 1:]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", [-9999.9, 1e20, -3.4028235e38, 65535, 9999.9])
def test_numbers_that_mark_missing_values_match_whatever_the_precision_of_the_file(dtype, number):
    with np.errstate(over="ignore"):
        values = np.array([[number] * 5, [1, 2, 3, 4, 5]]).astype(dtype)
    for files in (NumberFiles(missing=(number,)), DepthFiles(missing=(number,))):
        decoded = files.decode(values, 1, (), "a.npy")
        assert np.isnan(decoded[:, :, 0]).tolist() == [[True] * 5, [False] * 5]
        assert not files.remark(values, "a.npy")
    if dtype == np.float32:
        advised = re.search(r"set 'missing: (.*?)'", NumberFiles().remark(values, "a.npy"))
        assert advised
        assert np.float32(advised[1]) == values[0, 0]


NUMBERS = np.arange(24.0).reshape(4, 6)
OPAQUE = np.full((4, 6), 255)


@pytest.mark.parametrize("alpha", [[], [OPAQUE]])
def test_grey_saved_as_rgb_and_channels_that_hold_nothing_are_read(alpha):
    plain, with_hole = NUMBERS.astype(np.uint8), np.where(NUMBERS == 5, np.nan, NUMBERS)
    for values in (plain, with_hole):
        for stored in ([values, *alpha], [values] * 3 + alpha):
            read = NumberFiles().decode(np.dstack(stored), 1, (), "a.png")
            np.testing.assert_array_equal(read[:, :, 0], values)
    read = DepthFiles(scale=1).decode(np.dstack([plain + 1] * 3 + alpha).astype(np.uint8), 1, (), "a.png")
    np.testing.assert_array_equal(read[:, :, 0], plain + 1)
    flow = np.dstack([NUMBERS, -NUMBERS, 0 * NUMBERS, *alpha])
    np.testing.assert_array_equal(NumberFiles().decode(flow, 2, (), "a.npy"), flow[:, :, :2])


@pytest.mark.parametrize(
    ("channels", "stored", "message"),
    [
        (
            1,
            [NUMBERS, 23 - NUMBERS, 0 * NUMBERS],
            "a.png: has 3 channels, but one number per pixel is needed; .*false colours",
        ),
        (1, [NUMBERS] * 3 + [NUMBERS], "a.png: has 4 channels, but one"),
        (1, [NUMBERS, NUMBERS + 1], "a.png: has 2 channels, but one"),
        (2, [NUMBERS, -NUMBERS, NUMBERS], "has 3 channels, but 2 are needed, and which .* H x W x 2"),
        (3, [NUMBERS, NUMBERS], "has 2 channels, but 3 are needed; save an .npy of H x W x 3 or an RGB picture"),
    ],
)
def test_other_channels_than_the_task_has_are_an_error_that_says_what_to_do(channels, stored, message):
    with pytest.raises(DataError, match=message):
        NumberFiles().decode(np.dstack(stored), channels, (), "a.png")
