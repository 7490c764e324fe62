"""The last step of a conversion: bad samples are taken out, names and splits written, the folder put in its place."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mgm.data.base import DataSource
from mgm.data.building import PLAN, Plan, cannot_write, write_atomically
from mgm.data.checking import file_checksum
from mgm.data.columns import encode_names, encode_splits
from mgm.data.manifest import FORMAT_VERSION, MANIFEST, VALUES, Layouts, info_to_plain
from mgm.errors import DataError
from mgm.tasks import TASKS
from mgm.version import __version__


@dataclass(frozen=True)
class _Collected:
    """What the markers say."""

    names: list[str]
    labelled: np.ndarray
    bad: dict[int, str]


def finish(plan: Plan, source: DataSource, path: Path, origin: str) -> None:
    """Turn the written arrays into a store under ``path``, in place of an older one if there is one.

    May be killed at any point and called again.

    Args:
        plan: Of the conversion, all of whose chunks are on disk.
        source: What was converted.
        path: The store's folder.
        origin: Where the source was found, for the manifest.

    Raises:
        DataError: If no sample is left, or the disk is too full.
    """
    collected = _collect(plan)
    if len(collected.bad) == plan.count:
        first = next(iter(collected.bad.values()))
        raise DataError(f"{source.info.name}: none of the {plan.count} samples can be used. The first: {first}")
    kept = compact_order(plan.count, sorted(collected.bad))
    try:
        for name in plan.layouts:
            compact(plan.folder / f"{name}.npy", kept)
        _write_manifest(plan, source, origin, collected, kept)
        for draft in plan.folder.glob("*.tmp"):  # of workers that were killed while writing
            draft.unlink(missing_ok=True)
        _put_in_place(plan.folder, path)
        for file in (*(plan.marker(number) for number in range(plan.num_chunks)), plan.folder / PLAN):
            (path / file.name).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(plan.folder, error) from error


def compact_order(count: int, bad: list[int]) -> np.ndarray:
    """Which row stands where after `compact`: the last good rows fill the holes that bad ones leave."""
    remaining = count - len(bad)
    order = np.arange(remaining)
    excluded = set(bad)
    order[[row for row in bad if row < remaining]] = [row for row in range(remaining, count) if row not in excluded]
    return order


def compact(file: Path, order: np.ndarray) -> None:
    """Shorten an array on disk to the rows of `compact_order`, in place; doing it again changes nothing.

    Rows are copied into holes only from behind the new end, so a killed run can be repeated; then the header changes, in one
    write, and the file is cut.
    """
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    shape, row_bytes = (len(order), *array.shape[1:]), array[:1].nbytes
    if array.shape[0] == len(order) or not row_bytes:
        if array.shape != shape:
            np.save(file, np.zeros(shape, array.dtype))
        return
    with file.open("r+b") as stream:
        for hole in np.flatnonzero(order != np.arange(len(order))):
            stream.seek(array.offset + int(order[hole]) * row_bytes)
            row = stream.read(row_bytes)
            stream.seek(array.offset + int(hole) * row_bytes)
            stream.write(row)
        stream.flush()
        os.fsync(stream.fileno())
        stream.seek(0)
        prefix = stream.read(10)  # magic, version, length: that of a version 1 header, which `open_memmap` writes
        text = repr({"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": shape})
        stream.seek(0)
        stream.write(prefix + text.encode("latin1").ljust(array.offset - len(prefix) - 1) + b"\n")
        stream.truncate(array.offset + len(order) * row_bytes)
        stream.flush()
        os.fsync(stream.fileno())


def _collect(plan: Plan) -> _Collected:
    names: list[str] = []
    labelled: list[list[int]] = []
    bad: dict[int, str] = {}
    for number in range(plan.num_chunks):
        marker = json.loads(plan.marker(number).read_text(encoding="utf-8"))
        names += marker["names"]
        labelled += marker["labelled"]
        bad |= {int(index): reason for index, reason in marker["bad"].items()}
    table = np.array(labelled, np.uint8).reshape(len(names), len(plan.info.tasks))
    return _Collected(names, table, dict(sorted(bad.items())))


def _write_manifest(plan: Plan, source: DataSource, origin: str, collected: _Collected, kept: np.ndarray) -> None:
    """Write the small arrays and the list of everything."""
    text, ends = encode_names([collected.names[row] for row in kept])
    kinds, table = encode_splits(source, kept)
    labelled = collected.labelled[kept]
    small = {"names": text, "name_ends": ends, "splits": table, "labelled": labelled}
    for name, values in small.items():
        np.save(plan.folder / f"{name}.npy", values, allow_pickle=False)
    layouts: Layouts = {name: (dtype, (len(kept), *shape[1:])) for name, (dtype, shape) in plan.layouts.items()}
    layouts |= {name: (str(values.dtype), values.shape) for name, values in small.items()}
    manifest: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "mgm": __version__,
        "info": info_to_plain(source.info),
        "source": origin,
        "fingerprint": source.fingerprint,
        "size": plan.size,
        "count": len(kept),
        "labelled": dict(zip(source.info.tasks, labelled.sum(0, dtype=int).tolist(), strict=True)),
        "skipped": list(collected.bad.values()),
        "splits": kinds,
        "values": {name: VALUES[name] if name in VALUES else TASKS[name].values for name in layouts},
        "arrays": {name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in layouts.items()},
        "checksums": {f"{name}.npy": file_checksum(plan.folder / f"{name}.npy") for name in layouts},
    }
    write_atomically(plan.folder / MANIFEST, json.dumps(manifest, indent=1))


def _put_in_place(folder: Path, path: Path) -> None:
    """Rename the folder; what is under the name now goes when its successor is there."""
    old = path.with_name(f"{path.name}.replaced")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    folder.rename(path)
    shutil.rmtree(old, ignore_errors=True)
