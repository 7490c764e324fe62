"""From a photograph to windows and back: nothing is lost, nothing added, and no seam shows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgm.data.resizing import planes, resize_image, resize_levels, resize_target
from mgm.errors import ConfigError
from mgm.functional.levels import normalise_levels
from mgm.functional.resizing import resize_bilinear
from mgm.inference import fit as framing
from mgm.inference.fit import FITS, Pad, Resize, Tile, make_fit
from mgm.types import Frame

SIDE = 16
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 70))
WINDOWS = st.sampled_from([(SIDE, SIDE), (8, 24), (20, 12)])


def named(fit):
    """A name that is the same in every process."""
    return type(fit).__name__ + "".join(f"-{value}" for value in vars(fit).values())


every_fit = pytest.mark.parametrize("fit", [Resize(), Pad(), Tile(), Tile(2), Tile(0)], ids=named)


def photograph(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@every_fit
@given(size=SIZES, window=WINDOWS)
@settings(max_examples=25, deadline=None)
def test_any_size_becomes_windows_and_a_constant_stays_constant(fit, size, window):
    windows = fit.windows(photograph(*size), window)
    assert windows.shape == (fit.count(size, window), 3, *window)
    assert windows.dtype == torch.uint8
    constant = torch.tensor([2.5, -1.0]).view(1, 2, 1, 1).expand(len(windows), 2, *window)
    restored = fit.restore(constant, size)
    assert torch.allclose(resize_bilinear(restored, size), constant[:1, :, :1, :1].expand(1, 2, *size), atol=1e-5)


@pytest.mark.parametrize("size", [(SIDE, SIDE), (SIDE, 3 * SIDE)])
@pytest.mark.parametrize("fit", [Resize(), Pad(), Tile(), Tile(0)], ids=named)
def test_a_photograph_of_the_networks_size_passes_unchanged(fit, size):
    pixels = photograph(*size)
    (window,) = fit.windows(pixels, size)
    assert torch.equal(window, torch.from_numpy(planes(pixels)))
    prediction = torch.randn(1, 5, *size)
    assert torch.equal(fit.restore(prediction, size), prediction)


@pytest.mark.parametrize("size", [(16, 40), (37, 16), (50, 41), (16, 17)])
@pytest.mark.parametrize("window", [SIDE, (SIDE, 12), (14, SIDE)])
def test_tiles_of_a_pointwise_network_equal_the_whole(size, window):
    """What looks at single pixels says the same in every window, so the seams must vanish exactly."""
    pixels = photograph(*size)
    windows = Tile(0).windows(pixels, window)
    restored = Tile(0).restore(normalise_levels(windows), size)
    assert torch.allclose(restored[0], normalise_levels(torch.from_numpy(planes(pixels))), atol=1e-6)


def test_tiles_fade_into_each_other():
    """Windows that disagree by 1 never make a step that shows: neighbours differ by no more than the ramp allows."""
    size = (SIDE, 5 * SIDE)
    count = Tile(0).count(size, SIDE)
    predictions = (torch.arange(count) % 2).float().view(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE)
    blended = Tile(0).restore(predictions, size)[0, 0]
    assert blended.min() >= 0
    assert blended.max() <= 1
    assert blended.diff(dim=1).abs().max() < 2 / SIDE


def test_windows_overlap_by_half_and_reach_every_edge():
    assert Tile(0).count((SIDE, SIDE), SIDE) == 1
    assert Tile(0).count((SIDE, SIDE + 1), SIDE) == 2
    assert Tile(0).count((SIDE, 4 * SIDE), SIDE) == 7
    pixels = photograph(SIDE, 3 * SIDE - 3)
    windows = Tile(0).windows(pixels, SIDE)
    assert torch.equal(windows[0], torch.from_numpy(planes(pixels[:, :SIDE])))
    assert torch.equal(windows[-1], torch.from_numpy(planes(pixels[:, -SIDE:])))


def test_detail_is_the_shorter_side_in_windows():
    assert Tile(1).count((480, 640), SIDE) == 2
    assert Tile(2).count((480, 640), SIDE) == 3 * 5
    assert Tile(0).count((3, 4), SIDE) == Tile(1).count((3, 4), SIDE)  # never smaller than a window
    assert Tile(1).count((480, 640), (96, 128)) == 1
    assert Tile(1).count((480, 854), (96, 128)) == 2  # as high as a window, and wider by a third
    assert Tile(1).count((640, 480), (96, 128)) == 3  # as wide as one, and 171 high


@given(size=SIZES, window=WINDOWS)
@settings(deadline=None)
def test_pad_shows_photographs_as_training_with_a_letterbox_does(size, window):
    pixels = photograph(*size)
    (image,) = Pad().windows(pixels, window)
    assert torch.equal(image, torch.from_numpy(resize_image(pixels, Frame(window, "letterbox"))))
    labels = resize_target(np.ones(size, np.uint8), Frame(window, "letterbox"))
    assert Pad().restore(torch.from_numpy(labels)[None, None], size).min() == 1  # all that is kept has labels
    assert int((labels == 1).sum()) == Pad().restore(torch.from_numpy(labels)[None, None], size).numel()


def test_padding_keeps_the_aspect_and_is_cut_off_again():
    pixels = photograph(20, 40)
    (window,) = Pad().windows(pixels, SIDE)
    assert torch.equal(window[:, 4:12], torch.from_numpy(planes(resize_levels(pixels, 8, 16))))
    assert torch.equal(window[:, 0], window[:, 4])
    assert torch.equal(window[:, 15], window[:, 11])
    prediction = torch.arange(SIDE).float().view(1, 1, SIDE, 1).expand(1, 1, SIDE, SIDE)
    assert Pad().restore(prediction, (20, 40))[0, 0, :, 0].tolist() == list(range(4, 12))


def test_resize_is_what_training_does():
    pixels = photograph(30, 50)
    (window,) = Resize().windows(pixels, SIDE)
    assert torch.equal(window, torch.from_numpy(planes(resize_levels(pixels, SIDE, SIDE))))


def test_too_many_windows_are_refused_before_any_is_cut(monkeypatch):
    monkeypatch.setattr(framing, "resize_levels", None)
    monkeypatch.setattr(framing, "MAX_WINDOWS", 100)
    with pytest.raises(ConfigError, match="5000 x 16 pixels needs .* windows.*--detail"):
        Tile(0).windows(photograph(16, 5000), SIDE)


def test_names_and_details():
    assert {name: type(make_fit(name)) for name in FITS} == FITS
    assert make_fit("tile", 0) == Tile(0)
    assert isinstance(make_fit("auto"), Resize)
    assert isinstance(make_fit("auto", aspect="letterbox"), Pad)
    assert make_fit("auto", 2, aspect="crop") == Tile(2)
    with pytest.raises(ConfigError, match="unknown fit 'tiles'. Did you mean 'tile'"):
        make_fit("tiles")
    for detail in (0.5, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="at least 1, or 0"):
            make_fit("tile", detail)
    with pytest.raises(ConfigError, match="fit tile only"):
        make_fit("pad", 2)
