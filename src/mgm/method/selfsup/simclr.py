"""SimCLR (Chen et al., 2020) on the shared encoder (paper 3.2, eq. 6, appendix A)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.functional.contrastive import nt_xent
from mgm.method.selfsup.base import SelfSupervision
from mgm.method.selfsup.views import TwoViews
from mgm.networks.encoder import Encoder
from mgm.types import Size

if TYPE_CHECKING:
    from mgm.method.step import JointStep


class ProjectionHead(nn.Module):
    """SimCLR's ``E_self``: average pooling, a hidden layer, a linear output (paper A; Chen et al., 2020).

    Args:
        in_channels: Channels of the features; also the size of the hidden layer.
        size: Dimension of the embedding (paper: 128).
    """

    def __init__(self, in_channels: int, size: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_channels, in_channels)
        self.output = nn.Linear(in_channels, size)

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``[B, in_channels, H, W]`` to embeddings ``[B, size]``, not normalised (NT-Xent does that)."""
        return self.output(F.relu(self.hidden(features.mean(dim=(2, 3)))))


class SimCLR(SelfSupervision):
    """SimCLR: embeddings of two random views of an image attract each other and repel those of all other images."""

    network: ClassVar[str] = "projection"

    def __init__(self) -> None:
        self._views: dict[Size, TwoViews] = {}

    @staticmethod
    def build_head(encoder: Encoder, model: ModelConfig) -> nn.Module:
        """Build ``E_self``, which maps features to embeddings of `ModelConfig.projection_size`."""
        return ProjectionHead(encoder.channels[-1], model.projection_size)

    def loss(self, step: JointStep, source: str) -> Tensor:
        """NT-Xent over the 2N views of the source's images; both views go through the encoder in one pass."""
        images = step.images_of(source).images
        size = (images.shape[-2], images.shape[-1])
        views = self._views.setdefault(size, TwoViews(size))
        view_a, view_b = views(images, seed=step.views_seed(source))
        embeddings = step.networks[self.network](step.encode(torch.cat([view_a, view_b])))
        embeddings_a, embeddings_b = embeddings.chunk(2)
        return nt_xent(embeddings_a, embeddings_b, step.method.temperature)
