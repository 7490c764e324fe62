"""Blocks that keep their input alone and compute the rest again in the backward pass (Chen et al., 2016)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]

from mgm.networks.blocks import BasicBlock, ConvBlock, ConvReLU, UpBlock
from mgm.networks.efficientnet_lite import MBConv
from mgm.networks.generators.sagan import DiscriminatorBlock, FinalBlock, GeneratorBlock, SelfAttention
from mgm.networks.normalization import BatchNorm2d, SpectralNorm

BLOCKS: tuple[type[nn.Module], ...] = (
    BasicBlock, MBConv, ConvBlock, ConvReLU, UpBlock, GeneratorBlock, DiscriminatorBlock, FinalBlock, SelfAttention
)  # fmt: skip
"""What is recomputed as a whole: blocks of encoders, decoders and refinement, of the SAGAN and its discriminator."""


class Recomputed:
    """The forward pass of a block, repeated when its gradient is asked for. Without gradients the block runs as it is.

    The repetition is bitwise the first pass: it works on copies of the buffers (running statistics, power iterations) as they were
    before it, so whatever has moved them since does not matter, and they move once. The block may have no noise such as
    dropout: the random state is not kept.
    """

    def __init__(self, block: nn.Module) -> None:
        self.forward = block.forward
        self.layers = [layer for layer in block.modules() if isinstance(layer, (BatchNorm2d, SpectralNorm))]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The block's output."""
        if not torch.is_grad_enabled():
            return self.forward(*inputs)
        output = checkpoint(  # pyright: ignore[reportUnknownVariableType]
            self.forward, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=self._contexts
        )
        return cast(Tensor, output)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Around the first pass and around its repetition."""
        return nullcontext(), _AsItWas(self.layers)


class _AsItWas(AbstractContextManager[None]):
    """Puts layers back into their present state inside the context; may be entered again, as a retained graph does."""

    def __init__(self, layers: list[BatchNorm2d | SpectralNorm]) -> None:
        self.layers = layers
        self.then = [(flag, _copied(buffers)) for flag, buffers in self._state()]
        self.now = self._state()

    def __enter__(self) -> None:
        self.now = self._state()
        self._set_state([(flag, _copied(buffers)) for flag, buffers in self.then])

    def __exit__(self, *error: object) -> None:
        self._set_state(self.now)

    def _state(self) -> list[tuple[bool, dict[str, Tensor]]]:
        return [(layer.update_statistics, dict(layer.named_buffers())) for layer in self.layers]

    def _set_state(self, state: list[tuple[bool, dict[str, Tensor]]]) -> None:
        for layer, (flag, buffers) in zip(self.layers, state, strict=True):
            layer.update_statistics = flag
            for name, value in buffers.items():
                setattr(layer, name, value)


def _copied(buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in buffers.items()}


def recompute_blocks(networks: nn.Module) -> int:
    """Let every block of `BLOCKS` inside repeat its forward pass, and count them; names of parameters and buffers stay."""
    blocks = [module for module in networks.modules() if isinstance(module, BLOCKS)]
    for block in blocks:
        object.__setattr__(block, "forward", Recomputed(block))
    return len(blocks)
