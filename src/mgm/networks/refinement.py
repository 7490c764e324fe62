"""The refinement network ``R``, which classifies the scene from the predictions of ``M``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mgm.networks.encoder import WIDTHS, resnet


class RefinementNetwork(nn.Module):
    """``P(c | y)``: one ResNet-10 per task, features concatenated, one hidden layer (paper 3.2, appendix A).

    The logits are linear. The authors' code ends with a ReLU, which rules out negative logits.

    Args:
        input_channels: Task -> channels of its prediction.
        num_scenes: Number of classes ``K``; with multi-hot labels, each logit is a binary classifier.
        depth: Layers of each encoder: 10, 18 or 34.
        widths: Channels of the encoders' four stages (paper: those of ``M``).
        hidden: Size of the hidden layer.

    Raises:
        ConfigError: See `mgm.networks.encoder.resnet`.

    Example:
        >>> refinement = RefinementNetwork({"depth": 1, "normals": 3}, num_scenes=10)
        >>> refinement({"depth": torch.zeros(2, 1, 64, 64), "normals": torch.zeros(2, 3, 64, 64)}).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        input_channels: Mapping[str, int],
        num_scenes: int,
        depth: int = 10,
        widths: Sequence[int] = WIDTHS,
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(
            {task: resnet(channels, depth, widths) for task, channels in input_channels.items()}
        )
        self.hidden = nn.Linear(len(self.encoders) * widths[-1], hidden)
        self.output = nn.Linear(hidden, num_scenes)

    def forward(self, inputs: Mapping[str, Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B K"]:
        """Map task -> ``[B, C, H, W]``, at any resolution, to scene logits ``[B, K]``."""
        pooled = [encoder(inputs[task]).mean(dim=(2, 3)) for task, encoder in self.encoders.items()]
        return self.output(F.relu(self.hidden(torch.cat(pooled, dim=1))))
