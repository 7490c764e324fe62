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
    """Several encoders, whose features are concatenated along the channels at every level.

    Args:
        names: Names of the encoders, in the order of the features.
        config: Configuration of each encoder.
    """

    def __init__(self, names: Iterable[str], config: ModelConfig) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({name: make_encoder(config) for name in names})
        self.parts: list[Encoder] = [part for part in self.encoders.values() if isinstance(part, Encoder)]
        self.channels = tuple(map(sum, zip(*(part.channels for part in self.parts), strict=True)))
        self.strides = self.parts[0].strides

    def __iter__(self) -> Iterator[ResNetEncoder]:
        """The encoders that are `ResNetEncoder`, in the order of the features."""
        return (encoder for encoder in self.parts if isinstance(encoder, ResNetEncoder))

    def forward(self, images: Float[Tensor, "B _ H W"]) -> Features:
        """See `Encoder`; each level has the channels of all encoders."""
        levels = zip(*(encoder(images) for encoder in self.parts), strict=True)
        return [torch.cat(level, dim=1) for level in levels]


class SingleTaskNetworks(MultiTaskModel):
    """One network per task, without shared layers; a task's loss reaches only its own network. Arguments: see `MultiTaskModel`.

    All networks are trained together on the same batches. Losses on features (self-supervision, the embedding layer) get the
    features of all networks.

    Example:
        >>> model = SingleTaskNetworks({"semantic": 40, "depth": 1})
        >>> model(torch.zeros(1, 3, 64, 64))["depth"].shape
        torch.Size([1, 1, 64, 64])
    """

    takes_any_encoder = True

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """One encoder per task, and decoders that each read the features of their own encoder."""
        encoders = ParallelEncoders(channels, config)
        return encoders, DecodersOfParts(encoders.parts, [{task: size} for task, size in channels.items()], config)

    @property
    def own_weights(self) -> dict[str, tuple[str, ...]]:
        """Task -> prefixes of its encoder's and decoder's weights."""
        return {task: (f"encoder.encoders.{task}.", f"decoders.{number}.") for number, task in enumerate(self.tasks)}
