"""Levels of images and what pictures show of them."""

import numpy as np
import pytest
import torch

from mgm.functional.levels import normalise_levels, rgb_of, shown_as_rgb
from mgm.types import ImageFormat


@pytest.mark.parametrize(
    "kind",
    [
        ImageFormat(),
        ImageFormat(1),
        ImageFormat(2),
        ImageFormat(4, show=(3, 1, 0)),
        ImageFormat(4, show=(2, 1)),
        ImageFormat(1, "uint16"),
        ImageFormat(2, "uint16"),
        ImageFormat(5, "uint16", show=(4, 2, 0)),
    ],
)
def test_tensors_and_arrays_are_shown_alike(kind: ImageFormat):
    top = np.iinfo(kind.dtype).max
    levels = np.random.default_rng(0).integers(top // 9, top // 3, (3, 12, 10, kind.channels)).astype(kind.dtype)
    images = normalise_levels(torch.from_numpy(levels.transpose(0, 3, 1, 2).copy()))
    shown = (shown_as_rgb(images, kind) + 1) * 127.5
    expected = np.stack([rgb_of(image, kind) for image in levels]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(shown.numpy(), expected, atol=0.51)
    assert shown_as_rgb(images[None], kind).equal(shown_as_rgb(images, kind)[None])  # any leading dimensions


def test_images_of_16_bits_are_stretched_each_by_its_own_brightness_and_all_its_channels_alike():
    kind = ImageFormat(3, "uint16")
    dark = np.arange(400, 800, dtype=np.uint16).reshape(20, 20)
    levels = np.stack([dark, dark // 2, dark], axis=2)
    shown = rgb_of(levels, kind)
    assert shown.max() == 255
    assert shown.min() == 0
    assert shown[..., 1].max() < 150  # half as bright stays darker
    np.testing.assert_allclose(rgb_of(levels * 50, kind), shown, atol=1)  # another exposure is shown the same
    assert ((shown == 0).mean(), (shown == 255).mean()) == pytest.approx((0.02, 0.02), abs=0.01)


def test_an_image_of_one_level_is_shown_at_that_level():
    kind = ImageFormat(1, "uint16")
    levels = np.full((4, 4, 1), 65535 // 4, np.uint16)
    assert (rgb_of(levels, kind) == 64).all()
    images = normalise_levels(torch.from_numpy(levels.transpose(2, 0, 1).copy()))
    assert ((shown_as_rgb(images, kind) + 1) * 127.5).round().eq(64).all()


def test_images_of_8_bits_are_shown_as_they_are():
    levels = np.array([[[10, 20, 30], [40, 50, 60]]], np.uint8)
    assert (rgb_of(levels, ImageFormat()) == levels).all()


def test_pictures_show_the_channels_that_are_asked_for():
    levels = np.arange(4, dtype=np.uint8).reshape(1, 1, 4)
    assert rgb_of(levels, ImageFormat(4)).tolist() == [[[0, 1, 2]]]
    assert rgb_of(levels, ImageFormat(4, show=(3, 1, 0))).tolist() == [[[3, 1, 0]]]
    assert rgb_of(levels, ImageFormat(4, show=(2,))).tolist() == [[[2, 2, 2]]]
    assert rgb_of(levels[:, :, 1:3], ImageFormat(2)).tolist() == [[[1, 2, 0]]]
    assert rgb_of(levels[:, :, 3:], ImageFormat(1)).tolist() == [[[3, 3, 3]]]
