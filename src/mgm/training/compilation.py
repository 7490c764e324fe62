"""Compilation of networks with `torch.compile`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from mgm.errors import ConfigError
from mgm.functional.distributed import rank
from mgm.models.adashare import AdaShareEncoder
from mgm.models.base import StepwiseModule

MAX_FORMS = 64
"""Maximum number of compiled variants of one network (batch sizes, modes, frozen or updated statistics); torch's default is 8."""


def compile_networks(
    networks: nn.Module, mode: str, device: torch.device, *, backend: str | Callable[..., Any] = "inductor"
) -> int:
    """Set up each network's forward pass to be compiled, in place, at its first call. Returns the number of networks.

    Losses, updates and the training loop are not compiled. Names of parameters and buffers do not change, so checkpoints are
    the same with and without compilation. A network that cannot be compiled runs eagerly, with torch's warning.

    Args:
        networks: From `build_networks`; networks whose forward pass differs from step to step (AdaShare) are skipped.
        mode: Mode of `torch.compile`: ``default`` or ``reduce-overhead`` (CUDA graphs).
        device: Device of the networks.
        backend: Backend of `torch.compile`.

    Raises:
        ConfigError: If CUDA graphs are requested without CUDA.
    """
    if mode == "reduce-overhead" and device.type != "cuda":
        raise ConfigError(
            f"compile is {mode!r}, which needs a CUDA GPU, not {device.type}; use --compile default, or never"
        )
    import torch._dynamo.config
    import torch._functorch.config

    torch._dynamo.config.recompile_limit = max(MAX_FORMS, torch._dynamo.config.recompile_limit)
    torch._dynamo.config.suppress_errors = True
    # a forward pass may be differentiated several times (combined updates)
    torch._functorch.config.donated_buffer = False
    found = list(_compilable(networks))
    for network in found:
        # torch accepts a mode only for its own backend
        network.compile(backend=backend, dynamic=False, **({"mode": mode} if backend == "inductor" else {}))
    if rank() == 0:
        print(
            f"compiling {len(found)} networks: the first steps of every stage take minutes", file=sys.stderr, flush=True
        )
    return len(found)


def begin_compiled_step(networks: nn.Module, mode: str) -> None:
    """Release the outputs of the last step, gradients included, whose memory CUDA graphs reuse."""
    if mode == "reduce-overhead":
        networks.zero_grad(set_to_none=True)
        torch.compiler.cudagraph_mark_step_begin()


def _compilable(networks: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that have a forward pass."""
    for name, module in networks.named_children():
        if isinstance(module, (StepwiseModule, AdaShareEncoder)):
            continue
        # a container has no forward pass, and that of M only calls its parts
        if isinstance(module, nn.ModuleDict) or name == "model":
            yield from _compilable(module)
        else:
            yield module
