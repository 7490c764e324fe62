"""A shared encoder and one decoder per task (paper 3.1; MT in the tables)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from mgm.models.base import MultiTaskModel
from mgm.networks.decoder import Decoder
from mgm.networks.encoder import ResNetEncoder


class MultiTaskNetwork(MultiTaskModel):
    """All tasks share the encoder. Arguments: see `MultiTaskModel`.

    Example:
        >>> import torch
        >>> model = MultiTaskNetwork({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["semantic"].shape
        torch.Size([1, 40, 64, 64])
    """

    @staticmethod
    def build(
        channels: Mapping[str, int], depth: int, widths: Sequence[int]
    ) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """One encoder; every decoder reads all of its features."""
        encoder = ResNetEncoder(3, depth, widths)
        return encoder, {task: Decoder(encoder.out_channels, size, widths, depth) for task, size in channels.items()}
