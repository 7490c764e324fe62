import pytest
import torch

from mgm.errors import ConfigError
from mgm.networks.encoder import BLOCKS, ResNetEncoder

NARROW = (4, 6, 8, 10)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sides", [(16, 16), (48, 48), (32, 80), (128, 128)])
def test_total_stride_is_16(sides, batch):
    encoder = ResNetEncoder(3, 10, NARROW)
    features = encoder(torch.randn(batch, 3, *sides))
    assert features.shape == (batch, encoder.out_channels, sides[0] // encoder.STRIDE, sides[1] // encoder.STRIDE)
    assert encoder.out_channels == NARROW[-1]
    assert features.isfinite().all()


def test_paper_features_are_360_by_8_by_8():
    encoder = ResNetEncoder().eval()
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 128, 128)).shape == (1, 360, 8, 8)


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


@pytest.mark.parametrize("depth", [10, 18, 34])
def test_number_of_parameters(depth):
    assert count(ResNetEncoder(3, depth, NARROW)) == resnet_parameters(3, depth, NARROW)


def test_standard_widths_give_the_standard_network():
    """11,176,512 parameters: ResNet-18 with 1,000 classes has 11,689,512, of which its classifier has 513,000."""
    assert resnet_parameters(3, 18, (64, 128, 256, 512)) == 11_689_512 - 513_000


def test_unknown_depth_lists_choices():
    with pytest.raises(ConfigError, match=r"depth 50.*10, 18, 34"):
        ResNetEncoder(3, 50)


@pytest.mark.parametrize("widths", [(4, 4, 4), (4, 4, 4, 0)])
def test_bad_widths(widths):
    with pytest.raises(ConfigError, match="4 positive numbers"):
        ResNetEncoder(3, 18, widths)


@pytest.mark.parametrize("sides", [(40, 32), (32, 100)])
def test_other_sides_are_refused(sides):
    with pytest.raises(ConfigError, match="multiples of 16"):
        ResNetEncoder(3, 10, NARROW)(torch.zeros(1, 3, *sides))
