"""Decoding label files: what a folder's tests do not reach."""

import numpy as np
import pytest

from mgm.errors import DataError
from mgm.tasks.files import ClassFiles, check_labels, unit_normals


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


def test_vectors_without_a_direction_are_no_normals():
    vectors = np.array([[[0.0, 0.0, -2.0], [0.05, 0.0, 0.0], [np.inf, 0.0, 0.0]]], np.float32)
    normals = unit_normals(vectors)
    assert normals[0, 0].tolist() == [0, 0, -1]
    assert np.isnan(normals[0, 1:]).all()
