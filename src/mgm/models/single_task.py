"""One network per task, side by side (ST in the tables)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mgm.config import ModelConfig
from mgm.models.base import MultiTaskModel
from mgm.models.encoders import make_encoder
from mgm.networks.decoders import DecodersOfParts
from mgm.networks.encoder import Encoder, ResNetEncoder
from mgm.types import Features


class ParallelEncoders(Encoder):
    """Several encoders; at every level their features stand one after another in the channels.

    Args:
        names: One per encoder, in the order of the features.
        config: What each encoder is.
    """

    def __init__(self, names: Iterable[str], config: ModelConfig) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({name: make_encoder(config) for name in names})
        self.parts: list[Encoder] = [part for part in self.encoders.values() if isinstance(part, Encoder)]
        self.channels = tuple(map(sum, zip(*(part.channels for part in self.parts), strict=True)))
        self.strides = self.parts[0].strides

    def __iter__(self) -> Iterator[ResNetEncoder]:
        """The encoders in the order of the features, where they are ResNets of our own."""
        return (encoder for encoder in self.parts if isinstance(encoder, ResNetEncoder))

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`; the channels of a level are those of all encoders."""
        levels = zip(*(encoder(images) for encoder in self.parts), strict=True)
        return [torch.cat(level, dim=1) for level in levels]


class SingleTaskNetworks(MultiTaskModel):
    """No layer is shared: a task's loss reaches its own network alone. Arguments: see `MultiTaskModel`.

    The networks train together, on the same batches. Losses on features (self-supervision, the embedding layer) see
    those of all networks.

    Example:
        >>> model = SingleTaskNetworks({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["depth"].shape
        torch.Size([1, 1, 64, 64])
    """

    takes_any_encoder = True

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """One encoder per task; a decoder reads the part of the features that is its own encoder's."""
        encoders = ParallelEncoders(channels, config)
        return encoders, DecodersOfParts(encoders.parts, [{task: size} for task, size in channels.items()], config)

    @property
    def own_weights(self) -> dict[str, tuple[str, ...]]:
        """Encoder and decoder of each task."""
        return {task: (f"encoder.encoders.{task}.", f"decoders.{number}.") for number, task in enumerate(self.tasks)}
