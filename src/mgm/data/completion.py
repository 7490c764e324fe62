"""Completion of a store from its written arrays: drop bad samples, write names, splits and manifest, rename the folder."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mgm.data.base import DataSource
from mgm.data.conversion import PLAN, Plan, cannot_write, discard
from mgm.data.files import move_files, write_text
from mgm.data.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    VALUES,
    Layouts,
    encode_names,
    encode_splits,
    file_checksum,
    info_to_plain,
)
from mgm.errors import DataError
from mgm.tasks import task_kinds
from mgm.types import plain_size
from mgm.version import __version__

_ROWS_AT_ONCE = 256


def finish(plan: Plan, source: DataSource, path: Path, origin: str) -> None:
    """Turn the arrays, whose chunks are all on disk, into a store at ``path``, replacing an older one.

    May be killed at any point and called again. The manifest names ``origin`` as the location of the source.

    Raises:
        DataError: If no sample is left, or the disk is full.
    """
    markers = [json.loads(plan.marker(number).read_text(encoding="utf-8")) for number in range(plan.num_chunks)]
    bad = {int(index): reason for marker in markers for index, reason in marker["bad"].items()}
    if len(bad) == plan.count:
        raise DataError(
            f"{source.info.name}: none of the {plan.count} samples can be used. First error: {bad[min(bad)]}"
        )
    kept = np.setdiff1d(np.arange(plan.count), list(bad))
    try:
        for name in plan.layouts:
            keep_rows(plan.folder / f"{name}.npy", kept)
        _write_manifest(plan, source, origin, markers, kept)
        for draft in plan.folder.glob("*.tmp"):  # left by workers that were killed while writing
            draft.unlink(missing_ok=True)
        _put_in_place(plan.folder, path)
        for file in (*(plan.marker(number) for number in range(plan.num_chunks)), plan.folder / PLAN):
            (path / file.name).unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(plan.folder, error) from error


def keep_rows(file: Path, kept: np.ndarray) -> None:
    """Reduce a ``.npy`` file atomically to the rows ``kept`` (ascending); does nothing if it has that many rows already."""
    with file.open("rb") as stream:
        np.lib.format.read_magic(stream)
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if shape[0] == len(kept):
        return
    draft, layout = file.with_suffix(".tmp"), (len(kept), *shape[1:])
    rows = np.zeros(shape, dtype) if 0 in shape else np.load(file, mmap_mode="r", allow_pickle=False)
    with draft.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": layout}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, len(kept), _ROWS_AT_ONCE):
            stream.write(rows[kept[start : start + _ROWS_AT_ONCE]].tobytes())
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _write_manifest(
    plan: Plan, source: DataSource, origin: str, markers: list[dict[str, Any]], kept: np.ndarray
) -> None:
    """Write the small arrays and the manifest."""
    names = [name for marker in markers for name in marker["names"]]
    labelled = np.array([row for marker in markers for row in marker["labelled"]], np.uint8)
    labelled = labelled.reshape(plan.count, len(plan.info.tasks))[kept]
    text, ends = encode_names([names[row] for row in kept])
    kinds, table = encode_splits(source, kept)
    small = {"names": text, "name_ends": ends, "splits": table, "labelled": labelled}
    for name, values in small.items():
        np.save(plan.folder / f"{name}.npy", values, allow_pickle=False)
    layouts: Layouts = {name: (dtype, (len(kept), *shape[1:])) for name, (dtype, shape) in plan.layouts.items()}
    layouts |= {name: (str(values.dtype), values.shape) for name, values in small.items()}
    tasks = task_kinds(plan.info.own_tasks)
    manifest = {
        "version": FORMAT_VERSION,
        "mgm": __version__,
        "info": info_to_plain(source.info),
        "source": origin,
        "fingerprint": source.fingerprint,
        "size": plain_size(plan.frame.size),
        "aspect": plan.frame.aspect,
        "count": len(kept),
        "labelled": dict(zip(source.info.tasks, labelled.sum(0, dtype=int).tolist(), strict=True)),
        "skipped": [reason for marker in markers for reason in marker["bad"].values()],
        "splits": kinds,
        "values": {name: VALUES[name] if name in VALUES else tasks[name].target_format() for name in layouts},
        "arrays": {name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in layouts.items()},
        "checksums": {f"{name}.npy": file_checksum(plan.folder / f"{name}.npy") for name in layouts},
    }
    write_text(plan.folder / MANIFEST, json.dumps(manifest, indent=1))


def _put_in_place(folder: Path, path: Path) -> None:
    """Rename the folder to ``path``; an older store there is removed once the new one is in place."""
    if folder.parent == path:
        (folder / PLAN).unlink()  # first: a conversion must not continue with arrays of which some have been moved
        move_files(folder, path, MANIFEST)
        return
    old = path.with_name(f"{path.name}.replaced")
    if path.exists():
        discard(old)
        path.rename(old)
    folder.rename(path)
    with suppress(DataError, OSError):  # the new store is in place, whatever cannot be removed
        discard(old)
