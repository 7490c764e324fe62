"""The shared encoder ``E``: its interface, and the paper's ResNet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgm.errors import ConfigError
from mgm.networks.blocks import BasicBlock, initialise_convolutions
from mgm.networks.normalization import BatchNorm2d
from mgm.types import Features

BLOCKS: dict[int, tuple[int, int, int, int]] = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Depth -> basic blocks per stage (He et al., 2016)."""

STAGE_STRIDES: dict[int, tuple[int, int, int, int]] = {16: (1, 2, 2, 1), 32: (1, 2, 2, 2)}
"""Total stride -> strides of the four stages. The stem with its pooling has stride 4."""

WIDTHS = (48, 96, 192, 360)
"""Channels of the four stages in the paper (A)."""


class Encoder(nn.Module, ABC):
    """Maps images to a pyramid of features. Decoders may read every level; ``E(x)`` elsewhere means the last, coarsest one."""

    channels: tuple[int, ...]
    """Channels of the levels, from fine to coarse."""
    strides: tuple[int, ...]
    """Strides of the levels in pixels of the image, from fine to coarse."""

    @abstractmethod
    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """Compute one feature map ``[B, channels[i], H / strides[i], W / strides[i]]`` per level.

        Args:
            images: ``[B, C, H, W]`` in (-1, 1), with the encoder's number of input channels; both sides are multiples of the
                coarsest stride.

        Raises:
            ConfigError: If a side is not such a multiple.
        """


def check_sides(images: Tensor, stride: int) -> None:
    """Raise `ConfigError` unless both sides of ``[B, C, H, W]`` images are multiples of the stride."""
    height, width = images.shape[-2:]
    if height % stride or width % stride:
        raise ConfigError(
            f"images of {height}x{width} pixels: both sides must be multiples of {stride}; set data.image_size"
        )


def adapted_input(kernel: Tensor, channels: int) -> Tensor:
    """Convert first-layer kernels for RGB, ``[out, 3, k, k]``, to ``[out, channels, k, k]``.

    For one channel, the kernels are summed over RGB, so that a grey image gives the same result as in RGB. For more channels, the
    three kernels are repeated cyclically and scaled by ``3 / channels``, which preserves the scale of activations (as in timm,
    Wightman, 2019: ``adapt_input_conv``).
    """
    if channels == 1:
        return kernel.sum(dim=1, keepdim=True)
    return kernel[:, torch.arange(channels, device=kernel.device) % 3] * (3 / channels)


def adapt_input(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Adapt the weights of an RGB network to ``network``, which differs only in its number of input channels."""
    fitted = dict(weights)
    for name, own in network.state_dict().items():
        theirs = weights.get(name)
        if theirs is not None and theirs.ndim == 4 and theirs.shape[1] == 3 != own.shape[1]:
            fitted[name] = adapted_input(theirs, own.shape[1])
    return fitted


def fast_layout(images: Tensor) -> Tensor:
    """Convert images to channels last on a CPU, where convolutions are then faster; later layers keep the format."""
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cpu" else images


def resnet(in_channels: int, depth: int, widths: Sequence[int], stride: int = 16) -> nn.Sequential:
    """The layers of a ResNet without its classifier: 7x7 stem of stride 2, max pooling, four stages of basic blocks.

    Paper A states 360x8x8 features for 128 px, that is, a total stride of 16, while the standard network has 32. Here the last
    stage has no stride, as is usual in dense prediction ("output stride 16"). At 128 px and depth 18, this takes 0.53 billion
    multiply-adds per image; omitting the max pooling instead would take 1.24 billion.

    Args:
        in_channels: Channels of the input.
        depth: A key of `BLOCKS`.
        widths: Channels of the four stages; the stem has as many as the first.
        stride: Total stride: 16 (the paper's) or 32 (the standard network's).

    Raises:
        ConfigError: If depth, widths or stride are not supported.
    """
    if depth not in BLOCKS:
        raise ConfigError(f"unknown encoder depth {depth}. Choices: {', '.join(map(str, BLOCKS))}")
    if stride not in STAGE_STRIDES:
        raise ConfigError(f"unknown encoder stride {stride}. Choices: {', '.join(map(str, STAGE_STRIDES))}")
    if len(widths) != len(BLOCKS[depth]) or min(widths) < 1:
        raise ConfigError(f"encoder widths must be {len(BLOCKS[depth])} positive numbers, got {tuple(widths)}")
    stem = nn.Conv2d(in_channels, widths[0], 7, stride=2, padding=3, bias=False)
    layers = nn.Sequential(stem, BatchNorm2d(widths[0]), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))
    channels = widths[0]
    for num_blocks, width, step in zip(BLOCKS[depth], widths, STAGE_STRIDES[stride], strict=True):
        stage = nn.Sequential(BasicBlock(channels, width, step))
        stage.extend(BasicBlock(width, width) for _ in range(num_blocks - 1))
        layers.append(stage)
        channels = width
    initialise_convolutions(layers)
    return layers


class ResNetEncoder(Encoder):
    """ResNet with basic blocks (paper A: ResNet-18 with stage widths 48, 96, 192, 360 and total stride 16).

    The levels are the stem before pooling (stride 2) and the four stages. Arguments and errors: see `resnet`;
    ``channels_last``: use that memory format on a CPU, where it is faster.

    Example:
        >>> import torch
        >>> ResNetEncoder()(torch.zeros(2, 3, 128, 128))[-1].shape
        torch.Size([2, 360, 8, 8])
    """

    def __init__(
        self,
        in_channels: int = 3,
        depth: int = 18,
        widths: Sequence[int] = WIDTHS,
        stride: int = 16,
        *,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self.layers = resnet(in_channels, depth, widths, stride)
        self.channels = (widths[0], *widths)
        self.strides = (2, 4, 8, 16, stride)
        self.channels_last = channels_last

    def stem(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the stem before and after its pooling: ``[B, widths[0], H/2, W/2]`` and ``[B, widths[0], H/4, W/4]``.

        Raises:
            ConfigError: If a side is not a multiple of the total stride.
        """
        check_sides(images, self.strides[-1])
        convolution, norm, activation, pooling, *_ = self.layers
        features = activation(norm(convolution(fast_layout(images) if self.channels_last else images)))
        return features, pooling(features)

    @property
    def stages(self) -> list[nn.Sequential]:
        """The four stages in order, each a sequence of `BasicBlock`."""
        return [stage for stage in self.layers.children() if isinstance(stage, nn.Sequential)]

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`; all levels are non-negative."""
        fine, features = self.stem(images)
        levels = [fine]
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        return levels
