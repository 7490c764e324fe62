import pytest
import torch

from mgm.errors import ConfigError
from mgm.networks.encoder import BLOCKS, ResNetEncoder, adapt_input, adapted_input

NARROW = (4, 6, 8, 10)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("sides, batch, stride", [((16, 16), 2, 16), ((32, 160), 3, 16), ((128, 96), 3, 32)])
def test_levels_from_the_stem_to_the_total_stride(sides, batch, stride):
    encoder = ResNetEncoder(3, 10, NARROW, stride)
    assert encoder.strides == (2, 4, 8, 16, stride)
    assert encoder.channels == (NARROW[0], *NARROW)
    features = encoder(torch.randn(batch, 3, *sides))
    for level, channels, step in zip(features, encoder.channels, encoder.strides, strict=True):
        assert level.shape == (batch, channels, sides[0] // step, sides[1] // step)
        assert level.isfinite().all()
        assert level.min() >= 0 < level.max()


def test_every_level_is_made_of_the_one_before():
    """Changing what leaves a stage changes all coarser levels and no finer one."""
    encoder = ResNetEncoder(3, 10, NARROW).eval()
    images = torch.randn(1, 3, 32, 32)
    before = encoder(images)
    for number, stage in enumerate(encoder.stages, 1):
        with stage.register_forward_hook(lambda *given: given[-1] + 1):
            after = encoder(images)
        assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True] * number + [False] * (
            5 - number
        )


def test_paper_features_are_360_by_8_by_8():
    encoder = ResNetEncoder().eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 128, 128))[-1].shape == (1, 360, 8, 8)


def resnet_parameters(in_channels, depth, widths):
    """Closed form: convolutions without bias, two numbers per channel for each batch norm."""
    total = 49 * in_channels * widths[0] + 2 * widths[0]
    before = widths[0]
    for stage, (blocks, width) in enumerate(zip(BLOCKS[depth], widths, strict=True)):
        total += 9 * before * width + (2 * blocks - 1) * 9 * width**2 + 2 * blocks * 2 * width
        if stage > 0:  # the projection shortcut
            total += before * width + 2 * width
        before = width
    return total


@pytest.mark.parametrize("stride", [16, 32])
@pytest.mark.parametrize("depth", [10, 18, 34])
def test_number_of_parameters(depth, stride):
    assert count(ResNetEncoder(3, depth, NARROW, stride)) == resnet_parameters(3, depth, NARROW)


def test_standard_widths_give_the_standard_network():
    """11,176,512 parameters: ResNet-18 with 1,000 classes has 11,689,512, of which its classifier has 513,000."""
    assert resnet_parameters(3, 18, (64, 128, 256, 512)) == 11_689_512 - 513_000


def test_unknown_depth_lists_choices():
    with pytest.raises(ConfigError, match=r"depth 50.*10, 18, 34"):
        ResNetEncoder(3, 50)


def test_unknown_stride_lists_choices():
    with pytest.raises(ConfigError, match=r"stride 8\. Choices: 16, 32"):
        ResNetEncoder(3, 18, stride=8)


@pytest.mark.parametrize("widths", [(4, 4, 4), (4, 4, 4, 0)])
def test_bad_widths(widths):
    with pytest.raises(ConfigError, match="4 positive numbers"):
        ResNetEncoder(3, 18, widths)


def test_a_grey_image_in_one_channel_gives_what_it_gives_as_rgb():
    rgb, grey = ResNetEncoder(3, 10, NARROW).eval(), ResNetEncoder(1, 10, NARROW).eval()
    grey.load_state_dict(adapt_input(rgb.state_dict(), grey))
    image = torch.rand(2, 1, 32, 32) * 2 - 1
    for one, three in zip(grey(image), rgb(image.expand(-1, 3, -1, -1)), strict=True):
        torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4, 5, 6, 16])
def test_kernels_for_rgb_are_repeated_over_other_channels_and_keep_their_scale(channels):
    kernel = torch.rand(8, 3, 7, 7)
    adapted = adapted_input(kernel, channels)
    assert adapted.shape == (8, channels, 7, 7)
    assert torch.equal(adapted[:, channels - 1], kernel[:, (channels - 1) % 3] * (3 / channels))
    if channels % 3 == 0:  # of an image whose channels repeat red, green and blue
        torch.testing.assert_close(adapted.sum(dim=1), kernel.sum(dim=1))


def test_weights_that_fit_are_left_as_they_are():
    encoder = ResNetEncoder(3, 10, NARROW)
    weights = encoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in adapt_input(weights, encoder).items())
