"""A 3x3 convolution and the resampling beside it as one convolution: the same numbers for 4/9 of the arithmetic."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def spread(kernel: Tensor) -> Tensor:
    """Sum of a kernel ``[..., 3, 3]`` and its copies moved by one pixel right, down and both: ``[..., 4, 4]``."""
    wide = F.pad(kernel, (0, 1)) + F.pad(kernel, (1, 0))
    return F.pad(wide, (0, 0, 0, 1)) + F.pad(wide, (0, 0, 1, 0))


class UpsampledConv2d(nn.Conv2d):
    """Nearest-neighbour doubling, then a 3x3 convolution with zero padding; computed as one transposed convolution.

    Doubling repeats each pixel in 2x2 outputs, so its contributions are those of a 4x4 kernel that moves two pixels
    at a time.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        kernel = spread(self.weight.flip(2, 3)).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


class DownsampledConv2d(nn.Conv2d):
    """3x3 convolution with zero padding, then the mean of each 2x2 pixels; computed as one convolution of stride 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` with even sides to ``[B, out, H/2, W/2]``."""
        return F.conv2d(input, spread(self.weight) / 4, self.bias, stride=2, padding=1)
