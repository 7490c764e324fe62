"""The embedding layer between encoder and generator."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class LatentEmbedding(nn.Module):
    """Mean shift of the latent: ``z = embed(E(x)) + noise`` (paper 3.2; appendix A: average pooling and a dense layer)."""

    def __init__(self, in_channels: int, latent_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(in_channels, latent_size)

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B Z"]:
        """``[B, in_channels, H, W]`` features to the shift ``[B, L]`` of the generator's latent."""
        return self.dense(features.mean(dim=(2, 3)))
