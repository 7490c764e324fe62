"""The container of a run's networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from mgm.models.base import MultiTaskModel


class Networks(nn.Module, Mapping[str, nn.Module]):
    """All networks of a run by name: the parts of ``model`` (``encoder``, ``decoders``, ...) and the others.

    Args:
        model: M.
        others: Name -> network.
        fixed: Names of frozen networks. They stay in evaluation mode, so that their features do not depend on the batch.
    """

    def __init__(self, model: MultiTaskModel, others: dict[str, nn.Module], fixed: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.model = model
        self.others = nn.ModuleDict(others)
        self.fixed = fixed

    def train(self, mode: bool = True) -> Networks:
        """Set all networks to training or evaluation mode, except fixed ones, which stay in evaluation mode."""
        super().train(mode)
        for name in self.fixed:
            self[name].eval()
        return self

    def __getitem__(self, name: str) -> nn.Module:
        parts = self.model.parts
        return parts[name] if name in parts else self.others[name]

    def __iter__(self) -> Iterator[str]:
        yield from (*self.model.parts, *self.others)

    def __len__(self) -> int:
        return len(self.model.parts) + len(self.others)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other
