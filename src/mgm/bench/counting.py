"""What a piece of work consists of: arithmetic, launches, reads by the host, memory. Exact, and free of the clock."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

NO_LAUNCH = frozenset(
    {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "promote_types"}
    | {"_local_scalar_dense", "lift_fresh"}
)
"""Operators that launch nothing: they reserve memory, look at what is there in another way, or only serve the host."""

READS = frozenset({"_local_scalar_dense", "nonzero", "equal", "is_nonzero"})
"""Operators whose result the host waits for."""


@dataclass(frozen=True)
class Work:
    """What was counted."""

    flop: int
    """Floating-point operations of convolutions and products of matrices (`torch.utils.flop_counter`)."""
    launches: int
    """Dispatched operators of torch that compute something; on a GPU each is one kernel, or a few."""
    reads: int
    """Times that the host waited for a value."""
    peak_bytes: int
    """Largest sum of the tensors alive at once, what was there before included; no workspaces of kernels."""


class Tally(TorchDispatchMode):
    """Counts operators and the bytes of living tensors while it is active, those of the backward pass included.

    Args:
        held: Tensors that are alive beforehand, such as weights and the states of optimisers.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self.launches = 0
        self.reads = 0
        self.peak_bytes = 0
        self._bytes = 0
        self._known: set[int] = set()
        for tensor in held:
            self._see(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Carry out an operator and take note of it."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.reads += name in READS
        # other namespaces ask for properties or mark ranges
        self.launches += func.namespace == "aten" and not (func.is_view or name in NO_LAUNCH)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._see(value)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self._bytes += size
        self.peak_bytes = max(self.peak_bytes, self._bytes)
        # the object of a storage lives as long as its memory, however many tensors look at it
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._bytes -= size


def flop_counter() -> FlopCounterMode:
    """Torch's counter of arithmetic, which by itself knows the attention of GPUs alone."""
    aten = torch.ops.aten
    on_cpu = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *s, **_: sdpa_backward_flop_count(*s[:4]),
    }
    return FlopCounterMode(display=False, custom_mapping=on_cpu)


def count(run: Callable[[], object], held: Iterable[Tensor] = ()) -> Work:
    """Count one call, by carrying it out twice: what counts arithmetic keeps tensors alive, which would count as memory.

    Args:
        run: The work.
        held: Tensors that are alive beforehand and count as memory.
    """
    with Tally(held) as tally:
        run()
    with flop_counter() as flop:
        run()
    return Work(flop.get_total_flops(), tally.launches, tally.reads, tally.peak_bytes)


def cuda_launches(run: Callable[[], object]) -> int:
    """Kernels, copies and fills that one call launches on a GPU, by `torch.profiler`."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as recorded:
        run()
        torch.cuda.synchronize()
    names = [event.name for event in recorded.events() or ()]
    return sum(name.startswith(("cudaLaunch", "cuLaunch", "cudaMemcpyAsync", "cudaMemsetAsync")) for name in names)
