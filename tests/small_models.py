"""Settings of small models of every architecture."""

import torch

from mgm.config import ModelConfig
from mgm.models import MODELS, MultiTaskModel

NARROW = (4, 6, 8, 10)
CHANNELS = {"semantic": 5, "depth": 1, "normals": 3}
GROUPS = ("semantic+depth", "normals/depth")


def small(depth: int = 10, **settings) -> ModelConfig:
    """Settings of a narrow network; groups are those that `MODELS["task_groups"]` cannot be without."""
    return ModelConfig(**{"depth": depth, "widths": NARROW, "decoder_width": 7, "groups": GROUPS, **settings})


def small_model(architecture: str, depth: int = 10, **settings) -> MultiTaskModel:
    """A narrow model of `CHANNELS`."""
    return MODELS[architecture](CHANNELS, small(depth, **settings))


def same(values: torch.Tensor, expected: torch.Tensor, decoder: str) -> None:
    """Equal bit for bit with the paper's decoders.

    With the pyramid features are in the memory format channels last, and parts of them that are cut out of a larger tensor go
    through other kernels, which round otherwise.
    """
    if decoder == "paper":
        assert torch.equal(values, expected)
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)
