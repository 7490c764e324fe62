"""Exact counts of FLOP, kernel launches, host synchronisations and peak memory of a piece of work, independent of timing."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils import flop_counter as counters
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

NO_LAUNCH = frozenset(
    {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "promote_types"}
    | {"_local_scalar_dense", "lift_fresh"}
)
"""Operators that launch no kernel: they allocate memory, create a view, or run only on the host."""
READS = frozenset({"_local_scalar_dense", "nonzero", "equal", "is_nonzero"})
"""Operators that make the host wait for the device."""


@dataclass(frozen=True)
class Work:
    """Counts of a piece of work."""

    flop: int
    """Floating-point operations of convolutions and matrix products (`torch.utils.flop_counter`)."""
    launches: int
    """Operators of torch that compute something; on a GPU each is one or a few kernels."""
    reads: int
    """Number of times that the host waits for a value."""
    peak_bytes: int
    """Peak memory of live tensors, including those that existed before, without workspaces of kernels."""


class Tally(TorchDispatchMode):
    """Counts operators and bytes of live tensors while it is active, including those of the backward pass.

    Args:
        held: Tensors that already exist, such as weights and optimizer states.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()
        self.launches = 0
        self.reads = 0
        self.live_bytes = 0
        self.peak_bytes = 0
        self._known: set[int] = set()
        for tensor in held:
            self._see(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and count it."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.reads += name in READS
        # operators of other namespaces query properties or mark profiler ranges
        self.launches += func.namespace == "aten" and not (func.is_view or name in NO_LAUNCH)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._see(value)
        return result

    def restart_peak(self) -> int:
        """Return the peak so far, and restart it at the current memory."""
        peak, self.peak_bytes = self.peak_bytes, self.live_bytes
        return peak

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        # the storage object lives as long as its memory, regardless of how many tensors share it
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live_bytes -= size


def flop_counter() -> FlopCounterMode:
    """Torch's FLOP counter, extended by the attention operators for CPUs."""
    aten = torch.ops.aten
    forward = cast(Callable[..., int], counters.sdpa_flop_count)
    backward = cast(Callable[..., int], counters.sdpa_backward_flop_count)

    def of_forward(*shapes: object, **_: object) -> int:
        return forward(*shapes[:3])

    def of_backward(*shapes: object, **_: object) -> int:
        return backward(*shapes[:4])

    on_cpu = {
        aten._scaled_dot_product_flash_attention_for_cpu: of_forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: of_backward,
    }
    return FlopCounterMode(display=False, custom_mapping=on_cpu)


def count(run: Callable[[], object], held: Iterable[Tensor] = ()) -> Work:
    """Count one call. It is run twice, since the FLOP counter keeps tensors alive, which would distort the memory.

    Args:
        run: The work.
        held: Tensors that already exist and count as memory.
    """
    with Tally(held) as tally:
        run()
    with flop_counter() as flop:
        run()
    return Work(flop.get_total_flops(), tally.launches, tally.reads, tally.peak_bytes)


class SavedTensors:
    """Counts the bytes that operations save for the backward pass; each storage counts once, as long as it is alive.

    Not counted are leaves that require a gradient (parameters), optimizer states, and temporary memory of operations.

    Example:
        >>> layer = torch.nn.Linear(4, 4)
        >>> with SavedTensors() as saved:
        ...     layer(torch.zeros(2, 4)).sum().backward()
        >>> saved.peak_bytes
        32
    """

    def __init__(self) -> None:
        self.current_bytes = 0
        self.peak_bytes = 0
        self._counts: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: _Saved(tensor, self), lambda saved: saved.tensor
        )

    def __enter__(self) -> SavedTensors:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, traceback)

    def take(self, tensor: Tensor) -> int | None:
        """Count a saved tensor's storage; returns its key, or None if it does not count."""
        if tensor.is_leaf and tensor.requires_grad:
            return None
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] == 1:
            self.current_bytes += storage.nbytes()
            self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        return key

    def drop(self, key: int, size: int) -> None:
        """Release one reference to a storage."""
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
            self.current_bytes -= size


class _Saved:
    """A saved tensor; it is freed with its graph."""

    def __init__(self, tensor: Tensor, counter: SavedTensors) -> None:
        # detached, since a saved output would otherwise form a reference cycle with its operation
        self.tensor = tensor.detach()
        key = counter.take(tensor)
        if key is not None:
            weakref.finalize(self, counter.drop, key, tensor.untyped_storage().nbytes())
