"""Reconstruction of the image from the shared features (paper Table 4, MGM_recon)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.method.selfsup.base import SelfSupervision
from mgm.networks.decoder import Decoder
from mgm.networks.encoder import Encoder

if TYPE_CHECKING:
    from mgm.method.step import JointStep


class Reconstruction(SelfSupervision):
    """Reconstruct the image from ``E(x)``; the loss is the mean squared error."""

    network: ClassVar[str] = "reconstruction"

    @staticmethod
    def build_head(encoder: Encoder, model: ModelConfig) -> nn.Module:
        """Build a decoder like those of the tasks, with the image's channels as output."""
        return Decoder(encoder.channels[-1], model.image_channels, model.widths, model.depth, encoder.strides[-1])

    def loss(self, step: JointStep, source: str) -> Tensor:
        """Mean squared error of the reconstruction, in the image range (-1, 1)."""
        restored = step.networks[self.network](step.features(source)[-1])
        return F.mse_loss(restored.float(), step.images_of(source).images.detach().float())
