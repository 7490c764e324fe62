"""Convolutions combined with up- or downsampling, computed directly or by an exact identity with less arithmetic.

There are three identities, for the residual blocks of SAGAN. Nearest-neighbour upsampling and a 3x3 convolution are one 4x4
transposed convolution of stride 2; a 3x3 convolution and 2x2 average pooling are one 4x4 convolution of stride 2 (each with 4/9 of
the arithmetic); a 1x1 convolution commutes with both resamplings (a quarter). Weights are the same in all forms: the 4x4 kernel is
derived from the 3x3 kernel in each forward pass, so checkpoints do not depend on the choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgm.errors import ConfigError, unknown

SETTINGS = ("auto", "on", "off")
"""`ModelConfig.identities`: use identities where they are expected to be faster, always, or never."""


class Resampling(nn.Module):
    """A layer that can be computed directly or by an identity."""

    smallest_side: ClassVar[Mapping[str, int]] = {}
    """Device type -> smallest width of the input for which ``auto`` uses the identity; on other devices it always does. This is a
    fixed table (docs/speed.md) rather than a timing, because the forms round differently and a resumed run must use the same."""
    identities: str = "auto"

    def uses_identity(self, images: Tensor) -> bool:
        """Whether to use the identity for an input ``[..., H, W]``."""
        if self.identities == "auto":
            return images.shape[-1] >= self.smallest_side.get(images.device.type, 0)
        return self.identities == "on"


def set_identities(module: nn.Module, setting: str) -> None:
    """Set `Resampling.identities` of all layers of a module.

    Args:
        module: The module.
        setting: One of `SETTINGS`.

    Raises:
        ConfigError: If the setting is unknown.
    """
    if setting not in SETTINGS:
        raise ConfigError(unknown("setting of identities", setting, SETTINGS))
    for layer in module.modules():
        if isinstance(layer, Resampling):
            layer.identities = setting


def spreading(factor: float = 1.0, *, flipped: bool = False) -> Tensor:
    """Matrix ``[9, 16]`` that maps a flattened 3x3 kernel to a 4x4 kernel.

    The 4x4 kernel is the sum of the 3x3 kernel and its copies shifted by one pixel right, down, and both.

    Args:
        factor: Factor of the result.
        flipped: Mirror the kernel in both directions first.
    """
    # in one dimension: the 3 weights and their shifted copies in 4 places
    places = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    if flipped:
        places = places.flip(1)
    return factor * torch.kron(places, places).T.contiguous()


def spread(kernel: Tensor, places: Tensor) -> Tensor:
    """Convert kernels ``[out, in, 3, 3]`` to ``[out, in, 4, 4]`` by a matrix from `spreading`, in full precision under autocast."""
    with torch.autocast(kernel.device.type, enabled=False):
        return torch.unflatten(kernel.flatten(2) @ places, 2, (4, 4))


class UpsampledConv2d(nn.Conv2d, Resampling):
    """Nearest-neighbour upsampling by 2, then a 3x3 convolution with zero padding.

    Upsampling repeats each pixel 2x2 times, so together its contributions form a 4x4 kernel at stride 2: a transposed convolution.
    """

    # for small inputs, with many channels, deriving the kernel takes longer than it saves
    smallest_side: ClassVar[Mapping[str, int]] = {"cpu": 8}
    places: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("places", spreading(flipped=True), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        if not self.uses_identity(input):
            return super().forward(doubled(input))
        kernel = spread(self.weight, self.places).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)


class DownsampledConv2d(nn.Conv2d, Resampling):
    """3x3 convolution with zero padding, then 2x2 average pooling."""

    places: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self.register_buffer("places", spreading(0.25), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``[B, in, H, W]`` with even sides to ``[B, out, H/2, W/2]``."""
        if not self.uses_identity(input):
            return F.avg_pool2d(super().forward(input), 2)
        return F.conv2d(input, spread(self.weight, self.places), self.bias, stride=2, padding=1)


class UpsampledShortcut(nn.Conv2d, Resampling):
    """Nearest-neighbour upsampling by 2 and a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``[B, in, H, W]`` to ``[B, out, 2H, 2W]``."""
        if not self.uses_identity(input):
            return super().forward(doubled(input))
        return doubled(super().forward(input))


class DownsampledShortcut(nn.Conv2d, Resampling):
    """A 1x1 convolution and 2x2 average pooling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map ``[B, in, H, W]`` with even sides to ``[B, out, H/2, W/2]``."""
        if not self.uses_identity(input):
            return F.avg_pool2d(super().forward(input), 2)
        return super().forward(F.avg_pool2d(input, 2))


def doubled(images: Tensor) -> Tensor:
    """Upsample ``[B, C, H, W]`` by 2 with nearest-neighbour interpolation."""
    return F.interpolate(images, scale_factor=2, mode="nearest")
