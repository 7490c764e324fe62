"""Interface of a self-supervised task on the shared encoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.networks.encoder import Encoder

if TYPE_CHECKING:
    from mgm.method.step import JointStep


class SelfSupervision(ABC):
    """A task without labels. Subclasses are final; `mgm.method.selfsup.SELF_SUPERVISION` is the registry."""

    network: ClassVar[str]
    """Name of the head, which is trained together with the encoder."""

    @staticmethod
    @abstractmethod
    def build_head(encoder: Encoder, model: ModelConfig) -> nn.Module:
        """Build the head, which takes the coarsest features ``E(x)``."""

    @abstractmethod
    def loss(self, step: JointStep, source: str) -> Tensor:
        """Scalar loss on the images of a source."""
