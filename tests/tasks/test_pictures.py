"""Palettes: distinct, stable, far from the colour of holes."""

import numpy as np
import pytest
import torch

from mgm.tasks.pictures import INVALID_COLOUR, paint, paint_classes, paint_scale, palette


def test_255_distinct_colours_none_of_them_the_hole() -> None:
    colours = palette(255)
    assert colours.shape == (255, 3)
    assert len(np.unique(colours, axis=0)) == 255
    assert not (colours == INVALID_COLOUR).all(axis=1).any()


def test_colours_of_a_few_classes_are_far_apart() -> None:
    colours = np.concatenate([palette(40), [INVALID_COLOUR]]).astype(float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1e3 * np.eye(41)
    assert distance.min() > 40


def test_a_class_keeps_its_colour() -> None:
    assert np.array_equal(palette(13), palette(40)[:13])


def test_a_palette_belongs_to_the_caller() -> None:
    palette(3)[:] = 0
    assert palette(3).any()


def test_too_many_classes() -> None:
    with pytest.raises(ValueError, match="255 colours, not 256"):
        palette(256)


def test_labels_beyond_the_classes_are_holes() -> None:
    picture = paint_classes(torch.tensor([[[0, 1, 2, 255]]]), palette(2))
    assert picture[0, :, 0].T.tolist() == [*palette(2).tolist(), list(INVALID_COLOUR), list(INVALID_COLOUR)]


def test_scale_is_clipped_and_knows_holes() -> None:
    values = torch.tensor([-1.0, 0.0, 0.5, 1.0, 3.0, float("nan")]).view(1, 1, 1, 6)
    picture = paint_scale(values, "viridis")[0, :, 0].T
    assert picture[0].tolist() == picture[1].tolist() == [68, 1, 84]
    assert picture[3].tolist() == picture[4].tolist() == [253, 231, 37]
    assert picture[5].tolist() == list(INVALID_COLOUR)


def test_paint_rounds_and_clips() -> None:
    colour = torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1)
    assert paint(colour).flatten().tolist() == [0, 128, 255]
