"""The description of a store: ``manifest.json``, whose size does not depend on the number of samples, checksums, names and splits.

Names and splits are arrays that are memory-mapped instead of loaded, for data sets with very many samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args, overload

import numpy as np

from mgm.data.base import DataSource
from mgm.data.files import schema
from mgm.errors import ConfigError, DataError
from mgm.types import Aspect, DatasetInfo, ImageFormat, parse_size

FORMAT_VERSION = 3
MANIFEST = "manifest.json"
KEPT_SEEDS = 10
"""A store keeps the splits for the seeds 0 to 9."""

Layouts = dict[str, tuple[str, tuple[int, ...]]]
"""Name of an array -> dtype and shape."""

VALUES = {
    "image": "levels of the channels (default: RGB of 8 bits); networks see 2 * level / the largest - 1",
    "scene": "1 for each scene (or object) of the image, 0 for the others, NaN where unknown",
    "labelled": "1 where the image has any valid pixel of the task (columns: the tasks in their order)",
    "names": "UTF-8 names of the samples, end to end",
    "name_ends": "end of each name in names.npy",
    "splits": "0 train, 1 validation, 2 test, 3 none (rows: see splits in this file)",
}
"""Name of an array -> meaning of its numbers."""

_FIELDS = {"size", "aspect", "count", "fingerprint", "arrays", "splits", "labelled", "skipped", "checksums"}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check the manifest of a finished store.

    Raises:
        DataError: If the folder or the file is missing, unreadable, incomplete or of another format version.
    """
    if not path.is_dir():
        raise DataError(f"{path}: there is no store here; make one from a data set with: mgm data prepare")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["version"]
        if version == FORMAT_VERSION:
            _check(manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, ConfigError) as error:
        raise damaged(path, f"{MANIFEST} is missing, unreadable or incomplete") from error
    if version != FORMAT_VERSION:
        raise damaged(path, f"it has format {version}, but this version of mgm reads format {FORMAT_VERSION}")
    return manifest


def _check(manifest: dict[str, Any]) -> None:
    """Raise `ValueError` (or the error of a wrong type) if anything is missing or inconsistent."""
    arrays, count = manifest["arrays"], manifest["count"]
    image = schema(DatasetInfo).validate_python(manifest["info"]).image
    stored = arrays["image"]
    if stored["dtype"] != image.dtype or stored["shape"][1] != image.channels:
        raise ValueError
    parse_size(manifest["size"])
    if manifest["aspect"] not in get_args(Aspect):
        raise ValueError
    per_sample = ["image", "scene", "labelled", "name_ends", *manifest["info"]["tasks"]]
    complete = manifest.keys() >= _FIELDS and arrays.keys() >= {*per_sample, "names", "splits"}
    if not complete or any(arrays[name]["shape"][0] != count for name in per_sample):
        raise ValueError
    files = (*arrays, *manifest["checksums"])
    if any(name.startswith(".") or set(name) & set("/\\:") for name in files):
        raise ValueError
    for layout in arrays.values():
        np.dtype(layout["dtype"])
    for rows in manifest["splits"].values():
        if min(rows) < 0 or max(rows) >= arrays["splits"]["shape"][0]:
            raise ValueError


def damaged(path: Path, what: str) -> DataError:
    """The error for an unusable store, with the remedy."""
    return DataError(f"{path}: the store cannot be used ({what}); delete the folder and convert the data set again")


def info_to_plain(info: DatasetInfo) -> dict[str, Any]:
    """Convert to a dictionary of JSON values, leaving out optional fields with default values."""
    plain = json.loads(json.dumps(asdict(info)))
    default = {"colours": [], "own_tasks": {}, "image": json.loads(json.dumps(asdict(ImageFormat())))}
    return {name: value for name, value in plain.items() if name not in default or value != default[name]}


def file_checksum(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find_changed(folder: Path, checksums: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Compare files with their SHA-256; yields each name and an error message, empty if the file is unchanged."""
    for name, expected in checksums.items():
        try:
            trouble = "" if file_checksum(folder / name) == expected else "has changed since it was written"
        except OSError as error:
            trouble = f"cannot be read ({error.strerror})"
        yield name, f"{folder / name}: {trouble}; prepare the store again" if trouble else ""


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
