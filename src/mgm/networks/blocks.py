"""Building blocks of encoder and decoder. No ReLU is in place, so features that a shortcut reads are never overwritten."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mgm.networks.normalization import BatchNorm2d


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution without bias, since batch norm follows."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016), with a 1x1 projection if the stride is not 1 or the channels change.

    The projection subsamples first and then convolves without a stride, which is equivalent. A strided 1x1 convolution is avoided
    because its gradient in oneDNN writes out of bounds in the channels-last memory format (torch 2.13).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, out_channels, stride)
        self.norm1 = BatchNorm2d(out_channels)
        self.conv2 = conv3x3(out_channels, out_channels)
        self.norm2 = BatchNorm2d(out_channels)
        self.stride = stride
        self.projection = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.projection.append(nn.Conv2d(in_channels, out_channels, 1, bias=False))
            self.projection.append(BatchNorm2d(out_channels))

    def residual(self, features: Tensor) -> Tensor:
        """The output of the two convolutions; shapes as for the block."""
        return self.norm2(self.conv2(F.relu(self.norm1(self.conv1(features)))))

    def shortcut(self, features: Tensor) -> Tensor:
        """The input, subsampled and projected if necessary; shapes as for the block."""
        places = slice(None, None, self.stride)
        return self.projection(features if self.stride == 1 else features[..., places, places])

    def forward(self, features: Float[Tensor, "B _ _ _"]) -> Float[Tensor, "B _ _ _"]:
        """Map ``[B, in, H, W]`` to ``[B, out, H/stride, W/stride]``, rounded up."""
        return F.relu(self.residual(features) + self.shortcut(features))


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, leaky ReLU; the resolution is kept."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        super().__init__(convolution, BatchNorm2d(out_channels), nn.LeakyReLU(0.2))


class ConvReLU(nn.Sequential):
    """3x3 convolution, batch norm, ReLU; the resolution is kept."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(conv3x3(in_channels, out_channels), BatchNorm2d(out_channels), nn.ReLU())


class UpBlock(nn.Sequential):
    """4x4 transposed convolution of stride 2, batch norm, leaky ReLU; the resolution doubles.

    The kernel is 4 instead of Taskonomy's 3, so that every output pixel gets equally many inputs, which avoids checkerboard
    artefacts.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
            BatchNorm2d(out_channels),
            nn.LeakyReLU(0.2),
        )


def initialise_convolutions(module: nn.Module) -> None:
    """Kaiming initialisation (fan-out, ReLU) of all convolutions, as in the standard ResNet."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            # a transposed kernel is [in, out, k, k], so torch's "fan_in" is its fan-out
            mode = "fan_in" if isinstance(layer, nn.ConvTranspose2d) else "fan_out"
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu")
