"""Cross-Stitch networks (Misra et al., 2016): one network per task, whose feature maps are mixed after every stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.models.base import MultiTaskModel
from mgm.models.single_task import ParallelEncoders
from mgm.networks.decoders import DecodersOfParts
from mgm.networks.encoder import Encoder
from mgm.types import Features

OWN_SHARE = 0.9
"""Initial weight of a task's own feature map in its mixture; the other tasks share the rest evenly."""


class CrossStitchUnit(nn.Module):
    """A learned linear combination of all tasks' feature maps, per task (Misra et al., 2016, eq. 1).

    ``x'_k = Σ_j w_kj x_j``, the same at every pixel. Initially ``w_kk`` = 0.9 and ``w_kj = (1 - 0.9) / (T - 1)``: each row sums
    to 1, which preserves the scale of the features (a convex combination, as in the paper, for any number of tasks). With the
    identity matrix, tasks do not exchange features.

    Args:
        num_tasks: Number of tasks ``T``.
        channels: 1 for a single T x T matrix; the number of feature channels for one matrix per channel.

    Example:
        >>> CrossStitchUnit(num_tasks=3).weight[0, :, 0].tolist()
        [0.8999999761581421, 0.05000000074505806, 0.05000000074505806]
    """

    def __init__(self, num_tasks: int, channels: int = 1) -> None:
        super().__init__()
        others = (1 - OWN_SHARE) / (num_tasks - 1) if num_tasks > 1 else 0.0
        weight = torch.full((num_tasks, num_tasks), others)
        weight.fill_diagonal_(OWN_SHARE if num_tasks > 1 else 1.0)
        self.weight = nn.Parameter(weight[:, :, None].repeat(1, 1, channels))

    def forward(self, columns: Sequence[Tensor]) -> list[Tensor]:
        """Mix one feature map ``[B, C, H, W]`` per task to as many of the same shape."""
        stacked = torch.stack(list(columns))
        return [(weight[:, None, :, None, None] * stacked).sum(dim=0) for weight in self.weight.to(stacked.dtype)]


class CrossStitchEncoder(Encoder):
    """One encoder per task, with a cross-stitch unit after each of the four stages; the stem's level is not mixed.

    Args:
        tasks: Names of the tasks.
        config: Encoder of each task.
        per_channel: Use one matrix per channel instead of one per stage.
    """

    def __init__(self, tasks: Iterable[str], config: ModelConfig, *, per_channel: bool) -> None:
        super().__init__()
        self.columns = ParallelEncoders(tasks, config)
        self.channels, self.strides = self.columns.channels, self.columns.strides
        count = len(self.columns.parts)
        self.units = nn.ModuleList(CrossStitchUnit(count, width if per_channel else 1) for width in config.widths)

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`; each level has the channels of all tasks."""
        fine, features = zip(*(column.stem(images) for column in self.columns), strict=True)
        levels = [torch.cat(fine, dim=1)]
        for unit, *stages in zip(self.units, *(column.stages for column in self.columns), strict=True):
            features = unit([stage(part) for stage, part in zip(stages, features, strict=True)])
            levels.append(torch.cat(features, dim=1))
        return levels


class CrossStitchNetworks(MultiTaskModel):
    """`SingleTaskNetworks` that exchange features, with one matrix per stage. Arguments: see `MultiTaskModel`.

    The units are trained with the encoder, at its learning rate. (Misra et al. use plain gradient descent and need a much higher
    rate for the units than for the layers; Adam's step size does not depend on the scale of gradients.) With identity units it
    equals `SingleTaskNetworks`, and its encoders start from the same weights.

    Example:
        >>> model = CrossStitchNetworks({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["depth"].shape
        torch.Size([1, 1, 64, 64])
    """

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """Stitched encoders, and decoders that each read the features of their own encoder."""
        return _stitched(channels, config, per_channel=False)


class ChannelCrossStitchNetworks(MultiTaskModel):
    """`CrossStitchNetworks` with one matrix per stage and channel. Arguments: see `MultiTaskModel`.

    Example:
        >>> ChannelCrossStitchNetworks({"semantic": 40, "depth": 1}).encoder.units[0].weight.shape
        torch.Size([2, 2, 48])
    """

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """Stitched encoders, and decoders that each read the features of their own encoder."""
        return _stitched(channels, config, per_channel=True)


def _stitched(channels: Mapping[str, int], config: ModelConfig, *, per_channel: bool) -> tuple[Encoder, nn.Module]:
    encoder = CrossStitchEncoder(channels, config, per_channel=per_channel)
    return encoder, DecodersOfParts(encoder.columns.parts, [{task: size} for task, size in channels.items()], config)
