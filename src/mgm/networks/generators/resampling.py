"""A convolution and the resampling beside it, computed as they stand or by an exact identity for less arithmetic.

Three identities (residual blocks of SAGAN): nearest doubling, then a 3x3 convolution, is one 4x4 transposed convolution of
stride 2; a 3x3 convolution, then the mean of 2x2 pixels, is one 4x4 convolution of stride 2 (each 4/9 of the arithmetic); a
1x1 convolution commutes with both resamplings (a quarter). Weights are the same in all forms: the 4x4 kernel is derived from
the 3x3 one at each pass, so checkpoints do not know of the choice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgm.errors import choose

NEVER = math.inf
"""A side from which no image is."""


@dataclass(frozen=True)
class Identities:
    """Which of the identities to compute by, by the side of a layer's input in pixels."""

    upsampled_from: float
    """Smallest side from which doubling and 3x3 convolution are one transposed convolution."""
    downsampled_from: float
    """Smallest side from which 3x3 convolution and mean are one convolution of stride 2."""
    shortcut_from: float
    """Smallest side from which a 1x1 convolution is done at the smaller size."""


ON, OFF = Identities(0, 0, 0), Identities(NEVER, NEVER, NEVER)

MEASURED: dict[str, Identities] = {
    # deriving the kernel costs more than it saves where channels are many and pixels few
    "cpu": Identities(upsampled_from=8, downsampled_from=0, shortcut_from=0),
}
"""Type of device -> what was faster there (docs/speed.md); elsewhere less arithmetic is taken for less
time. A table, not a measurement at the start of each run, since the forms round differently: a run that is continued has to
take the same ones."""

SETTINGS: dict[str, Callable[[str], Identities]] = {
    "auto": lambda device: MEASURED.get(device, ON),
    "on": lambda device: ON,
    "off": lambda device: OFF,
}
"""`ModelConfig.identities` -> the choice on a type of device."""


class Resampling(nn.Module):
    """A layer with a choice of form."""

    identities: str = "auto"
    """A key of `SETTINGS`."""

    def chosen(self, images: Tensor) -> Identities:
        """The identities to use on the device of some images."""
        return SETTINGS[self.identities](images.device.type)


def set_identities(module: nn.Module, setting: str) -> None:
    """Let all layers inside a module compute by a setting of `SETTINGS`.

    Raises:
        ConfigError: If there is no such setting.
    """
    choose("setting of identities", setting, SETTINGS)
    for layer in module.modules():
        if isinstance(layer, Resampling):
            layer.identities = setting


def spreading(factor: float = 1.0, *, flipped: bool = False) -> Tensor:
    """``[9, 16]``: takes a flattened 3x3 kernel to the 4x4 sum of it and its copies moved by one pixel right, down and both.

    Args:
        factor: Multiplies the sum.
        flipped: Mirror the kernel in both directions first.
    """
    # along one side: where the 3 weights and their copies go in 4 places
    places = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    if flipped:
        places = places.flip(1)
    return factor * torch.kron(places, places).T.contiguous()


def spread(kernel: Tensor, places: Tensor) -> Tensor:
    """Kernels ``[out, in, 3, 3]`` as ``[out, in, 4, 4]`` by a matrix from `spreading`, in full precision under autocast."""
    with torch.autocast(kernel.device.type, enabled=False):
        return (kernel.flatten(2) @ places).unflatten(2, (4, 4))


class UpsampledConv2d(nn.Conv2d, Resampling):
    """Nearest-neighbour doubling, then a 3x3 convolution with zero padding.

    Doubling repeats each pixel in 2x2 outputs, so its contributions are those of a 4x4 kernel that moves two pixels at a
    time: a transposed convolution.
    """

    places: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("places", spreading(flipped=True), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        if input.shape[-1] < self.chosen(input).upsampled_from:
            return super().forward(doubled(input))
        kernel = spread(self.weight, self.places).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


class DownsampledConv2d(nn.Conv2d, Resampling):
    """3x3 convolution with zero padding, then the mean of each 2x2 pixels."""

    places: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("places", spreading(0.25), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` with even sides to ``[B, out, H/2, W/2]``."""
        if input.shape[-1] < self.chosen(input).downsampled_from:
            return F.avg_pool2d(super().forward(input), 2)
        return F.conv2d(input, spread(self.weight, self.places), self.bias, stride=2, padding=1)


class UpsampledShortcut(nn.Conv2d, Resampling):
    """Nearest-neighbour doubling and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        if input.shape[-1] < self.chosen(input).shortcut_from:
            return super().forward(doubled(input))
        return doubled(super().forward(input))


class DownsampledShortcut(nn.Conv2d, Resampling):
    """A 1x1 convolution and the mean of each 2x2 pixels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` with even sides to ``[B, out, H/2, W/2]``."""
        if input.shape[-1] < self.chosen(input).shortcut_from:
            return F.avg_pool2d(super().forward(input), 2)
        return super().forward(F.avg_pool2d(input, 2))


def doubled(images: Tensor) -> Tensor:
    """Each pixel repeated in 2x2."""
    return F.interpolate(images, scale_factor=2, mode="nearest")
