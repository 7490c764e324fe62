import torch
import torch.nn.functional as F

from mgm.networks.generators.resampling import DownsampledConv2d, UpsampledConv2d


def test_upsampled_convolution_is_exact():
    layer = UpsampledConv2d(3, 5).double()
    images = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    expected = F.conv2d(F.interpolate(images, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(images), expected)


def test_downsampled_convolution_is_exact():
    layer = DownsampledConv2d(3, 5).double()
    images = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    expected = F.avg_pool2d(F.conv2d(images, layer.weight, layer.bias, padding=1), 2)
    torch.testing.assert_close(layer(images), expected)
