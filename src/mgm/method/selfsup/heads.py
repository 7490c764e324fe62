"""Heads of the self-supervised tasks. Reconstruction uses `mgm.networks.decoder.Decoder`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ProjectionHead(nn.Module):
    """SimCLR's ``E_self``: average pooling, a hidden layer, a linear output (paper A; Chen et al., 2020).

    Args:
        in_channels: Channels of the features, also the size of the hidden layer.
        size: Length of the embedding (paper: 128).
    """

    def __init__(self, in_channels: int, size: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_channels, in_channels)
        self.output = nn.Linear(in_channels, size)

    def forward(self, features: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` features to embeddings ``[B, size]``, not normalised (NT-Xent does that)."""
        return self.output(F.relu(self.hidden(features.mean(dim=(2, 3)))))
