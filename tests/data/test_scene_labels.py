"""Scene labels as vectors: one scene, or the classes that occur; NaN where nothing is known."""

import numpy as np

from mgm.data.scene_labels import classes_in_view, one_hot
from mgm.types import IGNORE_INDEX


def test_one_scene():
    np.testing.assert_array_equal(one_hot(2, 4), np.array([0, 0, 1, 0], np.float32))
    assert np.isnan(one_hot(-1, 4)).all()


def test_classes_that_occur():
    labels = np.array([[3, 1], [IGNORE_INDEX, 1]], np.uint8)
    np.testing.assert_array_equal(classes_in_view(labels, 5), np.array([0, 1, 0, 1, 0], np.float32))
    assert np.isnan(classes_in_view(np.full((2, 2), IGNORE_INDEX, np.uint8), 5)).all()
