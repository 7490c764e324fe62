"""One network per task, side by side (ST in the tables)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mgm.models.base import MultiTaskModel
from mgm.networks.decoder import Decoder
from mgm.networks.encoder import ResNetEncoder


class ParallelEncoders(nn.Module):
    """One encoder per task; their features stand one after another in the channels.

    Args:
        tasks: Names of the tasks, in the order of the features.
        depth: Layers of each encoder: 10, 18 or 34.
        widths: Channels of each encoder's four stages.
    """

    out_channels: int
    """Channels of all features together."""

    def __init__(self, tasks: Iterable[str], depth: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({task: ResNetEncoder(3, depth, widths) for task in tasks})
        self.out_channels = len(self.encoders) * widths[-1]

    def __iter__(self) -> Iterator[ResNetEncoder]:
        """The encoders in the order of the features."""
        return (encoder for encoder in self.encoders.values() if isinstance(encoder, ResNetEncoder))

    def forward(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` to ``[B, tasks * C, H/16, W/16]``."""
        return torch.cat([encoder(images) for encoder in self], dim=1)


class OwnFeatures(nn.Module):
    """A decoder that reads its own part of the features.

    Args:
        decoder: From ``[B, size, h, w]``.
        start: First channel of its part.
        size: Channels of its part.
    """

    def __init__(self, decoder: nn.Module, start: int, size: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.start = start
        self.size = size

    def forward(self, features: Tensor) -> Tensor:
        """All features ``[B, F, h, w]`` to the prediction from its part of them."""
        return self.decoder(features.narrow(1, self.start, self.size))


def own_decoders(channels: Mapping[str, int], depth: int, widths: Sequence[int]) -> dict[str, nn.Module]:
    """A decoder per task that reads its own ``widths[-1]`` of the features, which stand in the order of the tasks."""
    part = widths[-1]
    return {
        task: OwnFeatures(Decoder(part, size, widths, depth), index * part, part)
        for index, (task, size) in enumerate(channels.items())
    }


class SingleTaskNetworks(MultiTaskModel):
    """No layer is shared: a task's loss reaches its own network alone. Arguments: see `MultiTaskModel`.

    The networks train together, on the same batches. Losses on features (self-supervision, the embedding layer) see
    those of all networks.

    Example:
        >>> model = SingleTaskNetworks({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["depth"].shape
        torch.Size([1, 1, 64, 64])
    """

    @staticmethod
    def build(
        channels: Mapping[str, int], depth: int, widths: Sequence[int]
    ) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """One encoder per task; a decoder reads the part of the features that is its own encoder's."""
        return ParallelEncoders(channels, depth, widths), own_decoders(channels, depth, widths)
