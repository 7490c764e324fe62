"""Reading MATLAB files of version 5 to 7 in plain Python: SciPy's reader can crash the process on a damaged file.

The format is The MathWorks' "MAT-File Format", level 5: after a header of 128 bytes, elements of a type, a length and data,
padded to 8 bytes; an array is an element that holds its class, dimensions, name and data as elements of their own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from math import prod

import numpy as np

from mgm.errors import DataError

Value = np.ndarray | str | list | dict
"""Numbers; text; a cell array, flat in column order; a structure of one element (of several: a list per field)."""

MAX_BYTES = 1 << 28
"""What a file may unpack to."""
MAX_DEPTH = 16
"""How deep cells and structures may be nested."""
_HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "latin-1", 2: "latin-1", 16: "utf-8", 17: "utf-16", 4: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)


class _UnsupportedError(Exception):
    """An array of a class that is not read: sparse, object, function handle."""


def read_matlab5(content: bytes, name: str) -> dict[str, Value]:
    """The variables of a file; those of classes that are not read here (sparse, objects) are left out.

    Args:
        content: Of the file.
        name: What to call it in messages.

    Raises:
        DataError: If it is no MATLAB file of this version, or damaged.
    """
    mark = content[126:128]
    if len(content) < _HEADER or mark not in (b"IM", b"MI"):
        raise DataError(f"{name}: is no readable MATLAB 5 file (no header); fetch it again")
    reader = _Reader("<" if mark == b"IM" else ">")
    variables: dict[str, Value] = {}
    try:
        for kind, data in reader.elements(content[_HEADER:]):
            if kind == _COMPRESSED:
                kind, data = next(reader.elements(_inflate(data)))
            if kind != _MATRIX:
                raise ValueError(f"element of type {kind}")
            try:
                key, value = reader.matrix(data, 0)
            except _UnsupportedError:
                continue
            variables[key] = value
    except (ValueError, struct.error, zlib.error, StopIteration, TypeError) as error:
        raise DataError(f"{name}: is no readable MATLAB 5 file ({error}); fetch it again") from error
    return variables


def _inflate(data: bytes) -> bytes:
    unpacked = zlib.decompressobj().decompress(data, MAX_BYTES)
    if len(unpacked) == MAX_BYTES:
        raise ValueError("unpacks to too much")
    return unpacked


class _Reader:
    """Takes elements apart in one byte order."""

    def __init__(self, order: str) -> None:
        self._order = order

    def elements(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Type and data of the elements that follow each other."""
        place = 0
        while place < len(data):
            (word,) = struct.unpack_from(f"{self._order}I", data, place)
            if word >> 16:  # small: length and type in one word, up to four bytes in the next
                kind, length, start, end = word & 0xFFFF, word >> 16, place + 4, place + 8
                if length > 4:
                    raise ValueError(f"small element of {length} bytes")
            else:
                kind, (length,), start = word, struct.unpack_from(f"{self._order}I", data, place + 4), place + 8
                end = start + length + (-length % 8 if kind != _COMPRESSED else 0)
            if start + length > len(data):
                raise ValueError("cut short")
            yield kind, data[start : start + length]
            place = end

    def matrix(self, data: bytes, depth: int) -> tuple[str, Value]:
        """Name and value of an array."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        if not data:
            return "", np.zeros((0, 0))
        parts = self.elements(data)
        flags = self.numbers(next(parts))
        shape = tuple(int(side) for side in self.numbers(next(parts)))
        name = next(parts)[1].decode("latin-1")
        if len(flags) == 0 or len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"array of shape {shape}")
        kind = int(flags[0]) & 0xFF
        if kind == _CELL:
            return name, self._cells(parts, prod(shape), len(data), depth)
        if kind == _STRUCT:
            return name, self._structure(parts, prod(shape), len(data), depth)
        if kind == _CHAR:
            return name, self._text(next(parts)) if prod(shape) else ""
        if kind in _NUMERIC:
            return name, self.numbers(next(parts)).reshape(shape, order="F")
        raise _UnsupportedError

    def numbers(self, element: tuple[int, bytes]) -> np.ndarray:
        """A flat array; the file may store numbers in a smaller type than their own."""
        kind, data = element
        if kind not in _NUMBERS:
            raise ValueError(f"numbers of type {kind}")
        return np.frombuffer(data, f"{self._order}{_NUMBERS[kind]}")

    def _text(self, element: tuple[int, bytes]) -> str:
        kind, data = element
        if kind not in _TEXT:
            raise ValueError(f"text of type {kind}")
        wide = _TEXT[kind] in ("utf-16", "utf-32")
        return data.decode(f"{_TEXT[kind]}-{'le' if self._order == '<' else 'be'}" if wide else _TEXT[kind])

    def _cells(self, parts: Iterator[tuple[int, bytes]], count: int, num_bytes: int, depth: int) -> list[Value]:
        if count * 8 > num_bytes:
            raise ValueError(f"{count} cells in {num_bytes} bytes")
        return [self._inner(next(parts), depth) for _ in range(count)]

    def _structure(
        self, parts: Iterator[tuple[int, bytes]], count: int, num_bytes: int, depth: int
    ) -> dict[str, Value]:
        width = int(self.numbers(next(parts))[0])
        text = next(parts)[1]
        if width <= 0 or len(text) % width:
            raise ValueError("field names")
        names = [text[at : at + width].split(b"\0")[0].decode("latin-1") for at in range(0, len(text), width)]
        if count * len(names) * 8 > num_bytes:
            raise ValueError(f"{count} structures in {num_bytes} bytes")
        fields: dict[str, list[Value]] = {name: [] for name in names}
        for _ in range(count):
            for name in names:
                fields[name].append(self._inner(next(parts), depth))
        return {name: values[0] if count == 1 else values for name, values in fields.items()}

    def _inner(self, element: tuple[int, bytes], depth: int) -> Value:
        kind, data = element
        if kind != _MATRIX:
            raise ValueError(f"element of type {kind} in a cell")
        return self.matrix(data, depth + 1)[1]
