"""The embedding layer between encoder and generator."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class LatentEmbedding(nn.Module):
    """The mean of the generator's latent, ``z = embed(E(x)) + noise`` (paper 3.2; appendix A: average pooling, dense layer)."""

    def __init__(self, in_channels: int, latent_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_channels, latent_size)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Z"]:
        """Map features ``[B, in_channels, H, W]`` to latent means ``[B, L]``."""
        return self.dense(features.mean(dim=(2, 3)))
