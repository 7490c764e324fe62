"""A convolution and the resampling beside it, computed as they stand or by an exact identity for less arithmetic.

Three identities (residual blocks of SAGAN): nearest doubling, then a 3x3 convolution, is one 4x4 transposed convolution of
stride 2; a 3x3 convolution, then the mean of 2x2 pixels, is one 4x4 convolution of stride 2 (each 4/9 of the arithmetic); a
1x1 convolution commutes with both resamplings (a quarter). Weights are the same in all forms: the 4x4 kernel is derived from
the 3x3 one at each pass, so checkpoints do not know of the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgm.errors import ConfigError, unknown

SETTINGS = ("auto", "on", "off")
"""`ModelConfig.identities`: where the identity is expected to be faster, always, never."""


class Resampling(nn.Module):
    """A layer that can be computed as it stands or by an identity."""

    smallest_side: ClassVar[Mapping[str, int]] = {}
    """Type of device -> smallest side of an input for which ``auto`` takes the identity; elsewhere it always does, less
    arithmetic being taken for less time. A table (docs/speed.md), since the forms round differently and a continued run has to
    take the same one."""
    identities: str = "auto"

    def uses_identity(self, images: Tensor) -> bool:
        """Whether to compute an input ``[..., H, W]`` by the identity."""
        if self.identities == "auto":
            return images.shape[-1] >= self.smallest_side.get(images.device.type, 0)
        return self.identities == "on"


def set_identities(module: nn.Module, setting: str) -> None:
    """Let all layers inside a module compute by a setting of `SETTINGS`.

    Raises:
        ConfigError: If there is no such setting.
    """
    if setting not in SETTINGS:
        raise ConfigError(unknown("setting of identities", setting, SETTINGS))
    for layer in module.modules():
        if isinstance(layer, Resampling):
            layer.identities = setting


def spreading(factor: float = 1.0, *, flipped: bool = False) -> Tensor:
    """``[9, 16]``: takes a flattened 3x3 kernel to ``factor`` times the 4x4 sum of it and its copies moved by a pixel right,
    down and both.

    ``flipped`` mirrors the kernel in both directions first.
    """
    # along one side: where the 3 weights and their copies go in 4 places
    places = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    if flipped:
        places = places.flip(1)
    return factor * torch.kron(places, places).T.contiguous()


def spread(kernel: Tensor, places: Tensor) -> Tensor:
    """Kernels ``[out, in, 3, 3]`` as ``[out, in, 4, 4]`` by a matrix from `spreading`, in full precision under autocast."""
    with torch.autocast(kernel.device.type, enabled=False):
        return torch.unflatten(kernel.flatten(2) @ places, 2, (4, 4))


class UpsampledConv2d(nn.Conv2d, Resampling):
    """Nearest-neighbour doubling, then a 3x3 convolution with zero padding.

    Doubling repeats each pixel in 2x2 outputs, so its contributions are those of a 4x4 kernel that moves two pixels at a
    time: a transposed convolution.
    """

    # deriving the kernel costs more than it saves where channels are many and pixels few
    smallest_side: ClassVar[Mapping[str, int]] = {"cpu": 8}
    places: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("places", spreading(flipped=True), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        if not self.uses_identity(input):
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
        if not self.uses_identity(input):
            return F.avg_pool2d(super().forward(input), 2)
        return F.conv2d(input, spread(self.weight, self.places), self.bias, stride=2, padding=1)


class UpsampledShortcut(nn.Conv2d, Resampling):
    """Nearest-neighbour doubling and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        if not self.uses_identity(input):
            return super().forward(doubled(input))
        return doubled(super().forward(input))


class DownsampledShortcut(nn.Conv2d, Resampling):
    """A 1x1 convolution and the mean of each 2x2 pixels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """``[B, in, H, W]`` with even sides to ``[B, out, H/2, W/2]``."""
        if not self.uses_identity(input):
            return F.avg_pool2d(super().forward(input), 2)
        return super().forward(F.avg_pool2d(input, 2))


def doubled(images: Tensor) -> Tensor:
    """Each pixel repeated in 2x2."""
    return F.interpolate(images, scale_factor=2, mode="nearest")
