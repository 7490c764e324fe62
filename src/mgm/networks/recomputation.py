"""Activation checkpointing: blocks that store only their input and recompute the rest in the backward pass (Chen et al., 2016)."""

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
"""Modules that are recomputed as a whole: blocks of encoders, decoders and refinement, of the SAGAN and its discriminator."""


class Recomputed:
    """Forward pass of a block that is recomputed in the backward pass; without gradients, the block runs normally.

    The recomputation is bitwise equal to the first pass: it uses copies of the buffers (running statistics, power iterations) as
    they were before the first pass, so later changes have no effect, and buffers are updated only once. The block must not contain
    random layers such as dropout, since the random state is not saved.
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
        """Contexts for the first pass and for the recomputation."""
        return nullcontext(), _AsItWas(self.layers)


class _AsItWas(AbstractContextManager[None]):
    """Restores the state that layers had at construction inside the context; can be entered repeatedly, for retained graphs."""

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
    """Make all modules of the types `BLOCKS` recompute their forward pass. Returns their number.

    Names of parameters and buffers do not change.
    """
    blocks = [module for module in networks.modules() if isinstance(module, BLOCKS)]
    for block in blocks:
        object.__setattr__(block, "forward", Recomputed(block))
    return len(blocks)
