"""One network per task, side by side (ST in the tables)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mgm.models.base import MultiTaskModel
from mgm.models.encoders import Encoder, make_decoder, make_encoder
from mgm.networks.decoder import Decoder
from mgm.networks.encoder import ResNetEncoder


class ParallelEncoders(nn.Module):
    """One encoder per task; their features stand one after another in the channels.

    Args:
        tasks: Names of the tasks, in the order of the features.
        depth: Layers of each encoder: 10, 18 or 34.
        widths: Channels of each encoder's four stages.
        backbone: See `mgm.models.encoders.make_encoder`.
    """

    out_channels: int
    """Channels of all features together."""

    def __init__(
        self, tasks: Iterable[str], depth: int, widths: Sequence[int], backbone: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        encoders = {task: make_encoder(depth, widths, backbone) for task in tasks}
        self.encoders = nn.ModuleDict(encoders)
        self.out_channels = sum(encoder.out_channels for encoder in encoders.values())

    def __iter__(self) -> Iterator[ResNetEncoder]:
        """The encoders in the order of the features, where they are ResNets of our own."""
        return (encoder for encoder in self.encoders.values() if isinstance(encoder, ResNetEncoder))

    def forward(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` to ``[B, tasks * C, H/16, W/16]``."""
        return torch.cat([encoder(images) for encoder in self.encoders.values()], dim=1)


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


def own_decoders(
    channels: Mapping[str, int], depth: int, widths: Sequence[int], encoder: Encoder | None = None
) -> dict[str, nn.Module]:
    """A decoder per task that reads its own part of the features, which stand in the order of the tasks.

    A part is what ``encoder`` puts out; without one, ``widths[-1]`` channels.
    """
    part = encoder.out_channels if encoder else widths[-1]
    decoders = (
        make_decoder(encoder, size, depth, widths) if encoder else Decoder(part, size, widths, depth)
        for size in channels.values()
    )
    return {
        task: OwnFeatures(decoder, index * part, part)
        for index, (task, decoder) in enumerate(zip(channels, decoders, strict=True))
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

    takes_backbone = True

    @staticmethod
    def build(
        channels: Mapping[str, int], depth: int, widths: Sequence[int], backbone: Mapping[str, Any] | None = None
    ) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """One encoder per task; a decoder reads the part of the features that is its own encoder's."""
        encoders = ParallelEncoders(channels, depth, widths, backbone)
        first = next(iter(encoders.encoders.values()))
        assert isinstance(first, Encoder)
        return encoders, own_decoders(channels, depth, widths, first)
