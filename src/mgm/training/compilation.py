"""Compiled networks (`torch.compile`), which say what they are doing and go on uncompiled when that fails."""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mgm.config import TrainingConfig
from mgm.errors import ConfigError
from mgm.functional.distributed import rank
from mgm.models.adashare import AdaShareEncoder
from mgm.models.base import StepwiseModule

BACKEND = "inductor"
"""Of `torch.compile`; tests take ``eager``, which needs no compiler."""
MAX_FORMS = 64
"""Forms of one network (batch sizes, modes, frozen or moving statistics) that are compiled; torch's default is 8."""


class CompilationWarning(UserWarning):
    """A network runs uncompiled."""


def wants_compilation(config: TrainingConfig, device: torch.device) -> bool:
    """Whether the networks are to be compiled on this device.

    Raises:
        ConfigError: If CUDA graphs are asked for where there is no CUDA.
    """
    if config.compile == "graphs" and device.type != "cuda":
        raise ConfigError(
            f"compile is 'graphs', which needs a CUDA GPU, not {device.type}; use --compile gpu, or never"
        )
    return config.compile in ("always", "graphs") or (config.compile == "gpu" and device.type == "cuda")


def compile_networks(networks: nn.Module, config: TrainingConfig, *, backend: str = "") -> int:
    """Compile the forward passes inside, each network on its own, when they are first called.

    The loop around them, the losses and the updates stay as they are, and so do the names of parameters and buffers: a
    checkpoint does not know whether its run was compiled. With ``graphs`` a network's kernels are replayed as one CUDA graph.

    Args:
        networks: From `build_networks`; those whose passes differ from step to step (AdaShare) are left out.
        config: Settings.
        backend: Of `torch.compile`; empty: `BACKEND`.

    Returns:
        The number of networks.
    """
    # a forward pass may be differentiated several times (combined updates); and a failure in the backward pass has to show
    # while the forward pass can still be repeated uncompiled
    import torch._dynamo.config
    import torch._functorch.config

    torch._dynamo.config.recompile_limit = max(MAX_FORMS, torch._dynamo.config.recompile_limit)
    torch._functorch.config.donated_buffer = False
    torch._functorch.config.force_non_lazy_backward_lowering = True
    options: dict[str, Any] = {"backend": backend or BACKEND, "dynamic": False}
    if config.compile == "graphs":
        options["mode"] = "reduce-overhead"
    state = _Compiler(options)
    found = list(_compilable(networks))
    for name, network in found:
        object.__setattr__(network, "forward", Compiled(name, network, state))
    return len(found)


def begin_compiled_step(networks: nn.Module, config: TrainingConfig) -> None:
    """Give back to CUDA graphs what they put out in the last step, gradients included."""
    if config.compile == "graphs":
        networks.zero_grad(set_to_none=True)
        torch.compiler.cudagraph_mark_step_begin()


def _compilable(networks: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The outermost modules that have a forward pass, by name."""
    for name, module in networks.named_children():
        path = f"{prefix}{name}"
        if isinstance(module, (StepwiseModule, AdaShareEncoder)):
            continue
        # a container has none, and M's is made of those of its parts
        if isinstance(module, nn.ModuleDict) or path == "model":
            yield from _compilable(module, f"{path}.")
        else:
            yield path, module


@dataclass
class _Compiler:
    """What the compiled networks of a run have in common."""

    options: dict[str, Any]
    works: bool = True
    """False after the first failure: the next one would have the same cause more often than not."""
    compiled: int = 0

    def tell(self, text: str) -> None:
        """One line on standard error, from the first process."""
        if rank() == 0:
            print(text, file=sys.stderr, flush=True)


@dataclass
class Compiled:
    """The forward pass of one network; compiles at the first call in every form (shapes, mode, gradients).

    When compiling fails, the pass is done uncompiled. Only if that works was compilation at fault.
    """

    name: str
    network: nn.Module
    compiler: _Compiler
    _forms: set[object] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.eager: Callable[..., Any] = self.network.forward
        self._compiled: Callable[..., Any] = torch.compile(self.eager, **self.compiler.options)

    def __call__(self, *inputs: Any) -> Any:
        """The network's output."""
        form = self._form(inputs)
        if form in self._forms:
            return self._compiled(*inputs)
        # evaluation is a small share of the time, and its batches have more shapes
        if not self.compiler.works or not self.network.training:
            return self.eager(*inputs)
        return self._first_call(form, inputs)

    def _first_call(self, form: object, inputs: tuple[Any, ...]) -> Any:
        number = len(self._forms) + 1
        self.compiler.tell(f"compiling {self.name} (form {number}) ...")
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what torch looks at while it traces
                output = self._compiled(*inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers fail in any way
            output = self.eager(*inputs)
            self._give_up(error)
            return output
        self._forms.add(form)
        self.compiler.compiled += 1
        self.compiler.tell(f"compiled {self.name} in {time.perf_counter() - start:.1f} s")
        return output

    def _give_up(self, error: Exception) -> None:
        self.compiler.works = False
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            f"{self.name} could not be compiled ({reason}); training goes on without compiling it, as fast as with "
            "--compile never",
            CompilationWarning,
            stacklevel=2,
        )

    def _form(self, inputs: tuple[Any, ...]) -> object:
        flags = tuple(sorted({bool(getattr(layer, "update_statistics", False)) for layer in self.network.modules()}))
        trained = any(parameter.requires_grad for parameter in self.network.parameters())
        return (self.network.training, torch.is_grad_enabled(), trained, flags, _shapes(inputs))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy of the network computes uncompiled, with its own weights."""
        return copy.deepcopy(self.eager, memo)


def _shapes(value: Any) -> object:
    if isinstance(value, Tensor):
        return (tuple(value.shape), value.dtype, value.requires_grad)
    if isinstance(value, dict):
        return tuple((key, _shapes(item)) for key, item in value.items())
    if isinstance(value, tuple | list):
        return tuple(_shapes(item) for item in value)
    return value
