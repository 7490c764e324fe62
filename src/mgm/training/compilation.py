"""Compiled networks (`torch.compile`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import nn

from mgm.errors import ConfigError
from mgm.functional.distributed import rank
from mgm.models.adashare import AdaShareEncoder
from mgm.models.base import StepwiseModule

MAX_FORMS = 64
"""Forms of one network (batch sizes, modes, frozen or moving statistics) that are compiled; torch's default is 8."""


def compile_networks(networks: nn.Module, mode: str, device: torch.device, *, backend: str = "inductor") -> int:
    """Compile the forward passes in place, each network on its own, when they are first called; returns how many.

    The loop around them, losses and updates stay as they are, and so do names of parameters and buffers: a checkpoint does not know
    whether its run was compiled. What cannot be compiled runs as it is, with torch's warning.

    Args:
        networks: From `build_networks`; those whose passes differ from step to step (AdaShare) are left out.
        mode: Of `torch.compile`: ``default`` or ``reduce-overhead`` (CUDA graphs).
        device: Where they compute.
        backend: Of `torch.compile`.

    Raises:
        ConfigError: If CUDA graphs are asked for where there is no CUDA.
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
        # torch takes a mode for its own backend alone
        network.compile(backend=backend, dynamic=False, **({"mode": mode} if backend == "inductor" else {}))
    if rank() == 0:
        print(
            f"compiling {len(found)} networks: the first steps of every stage take minutes", file=sys.stderr, flush=True
        )
    return len(found)


def begin_compiled_step(networks: nn.Module, mode: str) -> None:
    """Give back to CUDA graphs what they put out in the last step, gradients included."""
    if mode == "reduce-overhead":
        networks.zero_grad(set_to_none=True)
        torch.compiler.cudagraph_mark_step_begin()


def _compilable(networks: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that have a forward pass."""
    for name, module in networks.named_children():
        if isinstance(module, (StepwiseModule, AdaShareEncoder)):
            continue
        # a container has none, and that of M is made of those of its parts
        if isinstance(module, nn.ModuleDict) or name == "model":
            yield from _compilable(module)
        else:
            yield module
