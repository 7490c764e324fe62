"""The shared encoder ``E``: a ResNet with total stride 16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from mgm.errors import ConfigError
from mgm.networks.blocks import BasicBlock, initialise_convolutions
from mgm.networks.normalization import BatchNorm2d

BLOCKS: dict[int, tuple[int, int, int, int]] = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Depth -> basic blocks per stage (He et al., 2016)."""

STRIDES = (1, 2, 2, 1)
"""Of the four stages. The stem and its pooling have stride 4 together; the standard last stage would have 2."""

WIDTHS = (48, 96, 192, 360)
"""Channels of the four stages in the paper (A)."""


def resnet(in_channels: int, depth: int, widths: Sequence[int]) -> nn.Sequential:
    """The layers of a ResNet without its classifier: 7x7 stem of stride 2, max pooling, four stages of basic blocks.

    Paper A gives 360x8x8 features for 128 px, total stride 16, where the standard network has 32: one stride has to
    go. It is that of the last stage, as is usual in dense prediction ("output stride 16"). At 128 px, depth 18, that
    costs 0.53 billion multiply-adds per image; leaving out the max pooling instead would cost 1.24 billion.

    Args:
        in_channels: Channels of the input.
        depth: A key of `BLOCKS`.
        widths: Channels of the four stages; the stem has the first.

    Raises:
        ConfigError: If the depth is unknown or ``widths`` is not four positive numbers.
    """
    if depth not in BLOCKS:
        raise ConfigError(f"unknown encoder depth {depth}. Choices: {', '.join(map(str, BLOCKS))}")
    if len(widths) != len(STRIDES) or min(widths) < 1:
        raise ConfigError(f"encoder widths must be {len(STRIDES)} positive numbers, got {tuple(widths)}")
    stem = nn.Conv2d(in_channels, widths[0], 7, stride=2, padding=3, bias=False)
    layers = nn.Sequential(stem, BatchNorm2d(widths[0]), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))
    channels = widths[0]
    for num_blocks, width, stride in zip(BLOCKS[depth], widths, STRIDES, strict=True):
        stage = nn.Sequential(BasicBlock(channels, width, stride))
        stage.extend(BasicBlock(width, width) for _ in range(num_blocks - 1))
        layers.append(stage)
        channels = width
    initialise_convolutions(layers)
    return layers


class ResNetEncoder(nn.Module):
    """Image to features (paper A: ResNet-18 with stage widths 48, 96, 192, 360).

    Args:
        in_channels: Channels of the input.
        depth: Layers: 10, 18 or 34.
        widths: Channels of the four stages.

    Raises:
        ConfigError: If the depth is unknown or ``widths`` is not four positive numbers.

    Example:
        >>> import torch
        >>> ResNetEncoder()(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 360, 8, 8])
    """

    STRIDE: ClassVar[int] = 16

    out_channels: int
    """Channels of the features."""

    def __init__(self, in_channels: int = 3, depth: int = 18, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.layers = resnet(in_channels, depth, widths)
        self.out_channels = widths[-1]

    def stem(self, images: Tensor) -> Tensor:
        """What comes before the stages: ``[B, C, H, W]`` to ``[B, widths[0], H/4, W/4]``.

        Raises:
            ConfigError: If a side is not a multiple of 16.
        """
        height, width = images.shape[-2:]
        if height % self.STRIDE or width % self.STRIDE:
            raise ConfigError(
                f"images of {height}x{width} pixels: both sides must be multiples of {self.STRIDE}; set data.image_size"
            )
        return self.layers[: -len(STRIDES)](images)

    @property
    def stages(self) -> list[nn.Sequential]:
        """The four stages in their order, each a sequence of `BasicBlock`."""
        return [stage for stage in self.layers.children() if isinstance(stage, nn.Sequential)]

    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: ``[B, C, H, W]``, for RGB in (-1, 1); both sides multiples of 16.

        Returns:
            ``[B, out_channels, H/16, W/16]``, non-negative.

        Raises:
            ConfigError: If a side is not a multiple of 16.
        """
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        return features
