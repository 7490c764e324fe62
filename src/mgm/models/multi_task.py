"""A shared encoder and one decoder per task (paper 3.1; MT in the tables)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from mgm.models.base import MultiTaskModel
from mgm.models.encoders import make_decoder, make_encoder


class MultiTaskNetwork(MultiTaskModel):
    """All tasks share the encoder. Arguments: see `MultiTaskModel`.

    Example:
        >>> import torch
        >>> model = MultiTaskNetwork({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["semantic"].shape
        torch.Size([1, 40, 64, 64])
    """

    takes_backbone = True

    @staticmethod
    def build(
        channels: Mapping[str, int], depth: int, widths: Sequence[int], backbone: Mapping[str, Any] | None = None
    ) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """One encoder; every decoder reads all of its features."""
        encoder = make_encoder(depth, widths, backbone)
        return encoder, {task: make_decoder(encoder, size, depth, widths) for task, size in channels.items()}
