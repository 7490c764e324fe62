"""SimCLR's views: range, seeds, independence."""

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mgm.functional.blur import blur, blur_kernels
from mgm.method.selfsup.views import CHANNEL_JITTER, JITTER, RATIO, SCALE, TwoViews, crop, draw, grey


@pytest.fixture(scope="module")
def two_views() -> TwoViews:
    return TwoViews(32)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_shape_type_and_range(two_views: TwoViews, images: Tensor) -> None:
    low, high = 0.0, 0.0
    for seed in range(5):
        for view in two_views(images, seed):
            assert view.shape == images.shape
            assert view.dtype == torch.float32
            assert not view.requires_grad
            low, high = min(low, view.min().item()), max(high, view.max().item())
    assert -1.0 <= low < -0.8  # the whole range is in use: nothing became its negative or noise
    assert 0.8 < high <= 1.0


@pytest.mark.parametrize("kind", ["random", "black", "white", "grey"])
def test_gradients_reach_the_images_and_are_finite(two_views: TwoViews, images: Tensor, kind: str) -> None:
    flat = {"black": -1.0, "white": 1.0, "grey": 0.0}
    source = torch.full_like(images, flat[kind]) if kind in flat else images
    source = source.clone().requires_grad_()
    for seed in range(3):
        first, second = two_views(source, seed)
        (first.square().sum() + second.sin().sum()).backward()
    assert source.grad.isfinite().all()
    assert source.grad.any()


def test_the_seed_decides(two_views: TwoViews, images: Tensor) -> None:
    first, again, other = two_views(images, 5), two_views(images, 5), two_views(images, 6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    fresh = TwoViews(32)(images, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, fresh, strict=True))


def test_global_random_state_is_neither_used_nor_changed(two_views: TwoViews, images: Tensor) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    view, _ = two_views(images, 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state(legacy=False)["state"]["key"].tolist() == before[2]
    torch.manual_seed(2)
    np.random.seed(2)
    random.seed(2)
    assert torch.equal(two_views(images, 0)[0], view)


def test_random_state_survives_an_error(two_views: TwoViews) -> None:
    before = torch.get_rng_state()
    with pytest.raises(Exception, match=r".+"):
        two_views(torch.zeros(2, 3, 0, 0), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_views_and_images_have_draws_of_their_own(two_views: TwoViews, images: Tensor) -> None:
    same = images[:1].expand(4, -1, -1, -1)
    views = torch.cat(two_views(same, 0))
    for i in range(8):
        for j in range(i):
            assert not torch.allclose(views[i], views[j])


@pytest.mark.parametrize("level", [-1.0, -0.3, 0.4, 1.0])
def test_constant_images_stay_constant(two_views: TwoViews, level: float) -> None:
    for view in two_views(torch.full((16, 3, 32, 32), level), 0):
        spread = view.amax(dim=(2, 3)) - view.amin(dim=(2, 3))
        assert spread.max() < 1e-5


def test_untouched_grey_keeps_its_level(two_views: TwoViews) -> None:
    # about half of the views have no jitter, and nothing else changes a constant grey: no mapping is left out
    view, _ = two_views(torch.full((32, 3, 32, 32), -0.3), 0)
    kept = ((view + 0.3).abs().amax(dim=(1, 2, 3)) < 1e-5).float().mean()
    assert 0.25 < kept < 0.75


def test_share_of_grey_views(two_views: TwoViews, images: Tensor) -> None:
    many = torch.cat(two_views(images.repeat(40, 1, 1, 1), 0))
    grey = (many.amax(dim=1) - many.amin(dim=1)).amax(dim=(1, 2)) < 1e-5
    assert 0.14 < grey.float().mean() < 0.26


def test_crops_magnify(two_views: TwoViews) -> None:
    # a vertical ramp is neither flipped nor, without crops, short of its ends
    ramp = torch.linspace(-1, 1, 32).view(1, 1, 32, 1).expand(100, 3, 32, 32)
    view, _ = two_views(ramp, 0)
    brightness = view.mean(dim=(1, 3))
    assert (brightness[:, -1] - brightness[:, 0]).median() < 1.6


def test_jitter_changes_hue_and_saturation(two_views: TwoViews) -> None:
    orange = torch.tensor([0.8, 0.0, -0.6]).view(1, 3, 1, 1).expand(100, 3, 32, 32)
    view, _ = two_views(orange, 0)
    colour = view.mean(dim=(2, 3))
    assert (colour.argmax(dim=1) != 0).float().mean() > 0.03
    assert (colour[:, 0] - colour[:, 2]).std() > 0.1


def test_blur_smooths_about_half(two_views: TwoViews) -> None:
    noise = torch.rand(200, 1, 32, 32, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1) * 2 - 1
    view, _ = two_views(noise, 0)
    steps = view.mean(dim=1).diff(dim=1).square().mean(dim=(1, 2)) / view.mean(dim=1).var(dim=(1, 2))
    assert steps.median() < 0.72  # 0.9 without blur, crops alone
    assert steps.quantile(0.9) > 1.0


def test_share_of_flips(two_views: TwoViews) -> None:
    ramp = torch.linspace(-1, 1, 32).expand(200, 3, 32, 32)
    view, _ = two_views(ramp, 0)
    falls = view.mean(dim=1)[:, :, :8].mean(dim=(1, 2)) > view.mean(dim=1)[:, :, -8:].mean(dim=(1, 2))
    assert 0.4 < falls.float().mean() < 0.6


def test_other_sizes(images: Tensor) -> None:
    view, _ = TwoViews(16)(images[:1], 0)
    assert view.shape == (1, 3, 16, 16)


def test_half_precision_images_are_seen_in_float32(two_views: TwoViews, images: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        view, _ = two_views(images.bfloat16(), 0)
    assert view.dtype == torch.float32
    assert torch.equal(view, two_views(images.bfloat16().float(), 0)[0])


KORNIA = {
    "brightness": ("adjust_brightness_accumulative", 1.0),
    "contrast": ("adjust_contrast_with_mean_subtraction", 1.0),
    "saturation": ("adjust_saturation_with_gray_subtraction", 1.0),
    "hue": ("adjust_hue", 2 * math.pi),
}


@pytest.mark.parametrize("step", KORNIA)
def test_steps_of_the_jitter_are_kornias(step: str, images: Tensor) -> None:
    enhance = pytest.importorskip("kornia.enhance")
    colours, values = (images + 1) / 2, torch.tensor([0.2, 0.7, 1.0, 1.3, 1.8, -0.2 if step == "hue" else 0.5])
    name, unit = KORNIA[step]
    expected = getattr(enhance, name)(colours, values * unit)
    torch.testing.assert_close(JITTER[step](colours, values.view(-1, 1, 1, 1)), expected, atol=1e-5, rtol=1e-5)


def test_grey_is_kornias(images: Tensor) -> None:
    color = pytest.importorskip("kornia.color")
    torch.testing.assert_close(grey(images), color.rgb_to_grayscale(images))


def test_blur_is_kornias(images: Tensor) -> None:
    filters = pytest.importorskip("kornia.filters")
    sigma = np.array([0.1, 0.5, 1.0, 1.5, 2.0, 0.0])
    blurred = blur(images, torch.from_numpy(blur_kernels(sigma, 5)).float())
    expected = filters.gaussian_blur2d(images[:5], (5, 5), torch.from_numpy(sigma[:5, None].repeat(2, 1)).float())
    torch.testing.assert_close(blurred[:5], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(blurred[5], images[5])


def test_crop_of_everything_is_the_image_and_a_negative_width_mirrors_it(images: Tensor) -> None:
    whole, mirrored = torch.tensor([[1.0, 1, 0, 0]]), torch.tensor([[-1.0, 1, 0, 0]])
    torch.testing.assert_close(crop(images[:1], whole, (32, 32)), images[:1], atol=1e-5, rtol=0)
    torch.testing.assert_close(crop(images[:1], mirrored, (32, 32)), images[:1].flip(-1), atol=1e-5, rtol=0)
    quarter = crop(images[:1], torch.tensor([[0.5, 0.5, -0.5, 0.5]]), (16, 16))
    torch.testing.assert_close(quarter, images[:1, :, 16:, :16], atol=1e-5, rtol=0)
    flat = images[:1, :, 8:24]  # 16 x 32, of which the right half
    half = crop(flat, torch.tensor([[0.5, 1, 0.5, 0]]), (16, 16))
    torch.testing.assert_close(half, flat[..., 16:], atol=1e-5, rtol=0)


def test_views_have_the_shape_of_the_images(images: Tensor) -> None:
    flat = images[:, :, 4:28]
    views = TwoViews((24, 32))
    assert all(view.shape == (6, 3, 24, 32) for view in views(flat, 0))
    assert views.kernel_size == 3  # of the shorter side
    assert TwoViews((64, 32)).kernel_size == TwoViews(32).kernel_size


def test_crops_have_the_stated_areas_and_shapes_and_stay_inside() -> None:
    draws = draw(np.random.default_rng(0), 2000)
    width, height = np.abs(draws["half_width"]), draws["half_height"]
    area, ratio = width * height, width / height
    assert SCALE[0] <= area.min() < 0.09
    assert 0.95 < area.max() <= SCALE[1]
    assert RATIO[0] - 1e-9 <= ratio.min() < 0.76
    assert 1.32 < ratio.max() <= RATIO[1] + 1e-9
    assert np.abs(np.log(ratio)).mean() == pytest.approx(math.log(4 / 3) / 2, rel=0.1)
    assert max((np.abs(draws["x"]) + width).max(), (np.abs(draws["y"]) + height).max()) <= 1 + 1e-9


def test_nothing_waits_for_the_device(two_views: TwoViews, images: Tensor) -> None:
    class Launches(TorchDispatchMode):
        names: tuple[str, ...] = ()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.names += (str(func),)
            return func(*args, **(kwargs or {}))

    with Launches() as launches:
        two_views(images, 0)
    assert not [name for name in launches.names if "_local_scalar_dense" in name or "nonzero" in name]
    assert len(launches.names) < 200


@pytest.mark.parametrize("channels", [1, 2, 4, 16])
def test_images_of_other_channels_have_views_without_colours(two_views: TwoViews, channels: int) -> None:
    images = torch.rand(64, channels, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    first, second = two_views(images, 0)
    assert first.shape == images.shape
    assert torch.equal(first, two_views(images, 0)[0])
    assert not torch.equal(first, second)
    assert -1 <= float(first.min()) < -0.8
    assert 0.8 < float(first.max()) <= 1
    draws = draw(np.random.default_rng(0), 1000, channels)
    gains = np.stack([draws[f"gain {channel}"] for channel in range(channels)], axis=1)
    assert not {"gain 16"} & draws.keys()
    if channels == 1:  # brightness does it
        assert (gains == 1).all()
    else:
        changed = gains[(gains != 1).any(axis=1)]
        assert 400 < len(changed) < 600
        assert (np.ptp(changed, axis=1) > 0).all()
        assert 0.2 <= gains.min() < 0.3
        assert 1.7 < gains.max() <= 1.8


def test_every_channel_has_its_own_gain_in_a_view(two_views: TwoViews) -> None:
    images = torch.full((16, 4, 32, 32), 0.2 * 2 - 1)  # so dark that nothing is clipped
    views = torch.cat(two_views(images, 7))
    random = np.random.default_rng(7)
    random.permutation(list(CHANNEL_JITTER))
    draws = draw(random, 32, 4)
    gains = np.stack([draws[f"gain {channel}"] for channel in range(4)], axis=1)
    expected = 0.2 * torch.from_numpy(draws["brightness"][:, None] * gains).float() * 2 - 1
    torch.testing.assert_close(views, expected[:, :, None, None].expand_as(views), rtol=0, atol=1e-4)


def test_the_gain_of_a_channel_and_its_contrast_leave_the_others_alone() -> None:
    images = torch.rand(2, 4, 8, 8)
    gains = torch.tensor([[0.5, 1, 1, 1], [1, 1, 1, 0.2]])[:, :, None, None]
    scaled = CHANNEL_JITTER["gains"](images, gains)
    torch.testing.assert_close(scaled, images * gains)
    flat = CHANNEL_JITTER["contrast"](images, torch.zeros(2, 1, 1, 1))
    torch.testing.assert_close(flat, images.mean(dim=(2, 3), keepdim=True).expand_as(images))
