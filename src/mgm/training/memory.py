"""How much memory the graph of a training step keeps alive, on any device."""

from __future__ import annotations

import weakref
from types import TracebackType

import torch
from torch import Tensor


class SavedTensors:
    """Counts the bytes that operations save for their backward pass, each storage once, while it lives.

    Parameters are saved too, but take no memory of their own: storages of tensors that require a gradient as leaves do
    not count. What networks and optimisers hold, and what an operation needs while it runs, is not part of it.

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
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def __enter__(self) -> SavedTensors:
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, traceback)

    def _pack(self, tensor: Tensor) -> _Saved:
        return _Saved(tensor, self)

    @staticmethod
    def _unpack(saved: _Saved) -> Tensor:
        return saved.tensor

    def take(self, tensor: Tensor) -> int | None:
        """Count a saved tensor's storage; returns its key, or None if it takes no memory of its own."""
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
        """One reference fewer to a storage."""
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
            self.current_bytes -= size


class _Saved:
    """A tensor in a graph; goes when the graph goes."""

    def __init__(self, tensor: Tensor, counter: SavedTensors) -> None:
        # detached: an output that is saved would otherwise hold the operation that holds it
        self.tensor = tensor.detach()
        key = counter.take(tensor)
        if key is not None:
            weakref.finalize(self, counter.drop, key, tensor.untyped_storage().nbytes())
