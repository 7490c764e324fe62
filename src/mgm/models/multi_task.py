"""A shared encoder and decoders for all tasks (paper 3.1; MT in the tables)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from mgm.config import ModelConfig
from mgm.models.base import MultiTaskModel
from mgm.models.encoders import make_encoder
from mgm.networks.decoders import make_decoders
from mgm.networks.encoder import Encoder


class MultiTaskNetwork(MultiTaskModel):
    """All tasks share the encoder. Arguments: see `MultiTaskModel`.

    Example:
        >>> import torch
        >>> model = MultiTaskNetwork({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["semantic"].shape
        torch.Size([1, 40, 64, 64])
    """

    takes_any_encoder = True

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """One encoder, all of whose features the decoders read."""
        encoder = make_encoder(config)
        return encoder, make_decoders(encoder, channels, config)
