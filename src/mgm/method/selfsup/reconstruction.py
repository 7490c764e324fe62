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
    """The image back from ``E(x)``, by mean squared error."""

    network: ClassVar[str] = "reconstruction"

    @staticmethod
    def build_head(encoder: Encoder, model: ModelConfig) -> nn.Module:
        """A decoder of the tasks' kind whose outputs are the channels of the images."""
        return Decoder(encoder.channels[-1], model.image_channels, model.widths, model.depth, encoder.strides[-1])

    def loss(self, step: JointStep, source: str) -> Tensor:
        """Mean squared error in the image's range (-1, 1)."""
        restored = step.networks[self.network](step.features(source)[-1])
        return F.mse_loss(restored.float(), step.images_of(source).images.detach().float())
