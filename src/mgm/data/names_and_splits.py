"""Sample names and splits as arrays that are memory-mapped instead of loaded, for data sets with very many samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from mgm.data.base import DataSource
from mgm.errors import DataError

KEPT_SEEDS = 10
"""A store keeps the splits for the seeds 0 to 9."""


class Names(Sequence[str]):
    """Sequence of names over the two (memory-mapped) arrays of `encode_names`."""

    def __init__(self, text: np.ndarray, ends: np.ndarray) -> None:
        self._text = text
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        start = int(self._ends[place - 1]) if place else 0
        return self._text[start : int(self._ends[place])].tobytes().decode("utf-8", errors="replace")


def encode_names(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Encode names as their concatenated UTF-8 bytes, ``[bytes]`` uint8, and the end of each name, ``[N]`` int64."""
    encoded = [name.encode("utf-8", errors="replace") for name in names]
    ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def encode_splits(source: DataSource, kept: np.ndarray) -> tuple[dict[str, list[int]], np.ndarray]:
    """Encode all splits of a source for the seeds 0 to `KEPT_SEEDS` - 1; kinds for which it has too few samples are left out.

    Returns:
        Kind of split -> row of each seed in the table (a single row if the seed makes no difference), and the table ``[rows, N]``
        uint8 of `mgm.data.base.Splits.parts`, for the ``[N]`` indices of the samples that the store keeps.
    """
    rows: dict[str, list[int]] = {}
    table: list[np.ndarray] = []
    for kind in source.split_kinds:
        try:
            parts = [source.splits(kind, seed).parts(len(source))[kept] for seed in range(KEPT_SEEDS)]
        except DataError:
            continue
        if all(np.array_equal(part, parts[0]) for part in parts):
            parts = parts[:1]
        rows[kind] = list(range(len(table), len(table) + len(parts)))
        table += parts
    return rows, np.stack(table) if table else np.zeros((0, len(kept)), np.uint8)
