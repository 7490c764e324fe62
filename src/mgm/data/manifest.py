"""The list of what a store holds, kept beside its arrays as ``manifest.json``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mgm.errors import DataError
from mgm.types import DatasetInfo

FORMAT_VERSION = 1
MANIFEST = "manifest.json"

Layouts = dict[str, tuple[str, tuple[int, ...]]]
"""Array -> dtype and shape."""


def make_manifest(
    info: DatasetInfo, fingerprint: dict[str, object], size: int, names: list[str], layouts: Layouts
) -> dict[str, Any]:
    """All that is written into the file, as plain values.

    Args:
        info: What the data set offers.
        fingerprint: Of the source, see `DataSource.fingerprint`.
        size: Side of the square images in pixels.
        names: Name of every sample.
        layouts: Types and shapes of the arrays.
    """
    return {
        "version": FORMAT_VERSION,
        "info": info_to_plain(info),
        "fingerprint": fingerprint,
        "size": size,
        "names": names,
        "arrays": {name: {"dtype": dtype, "shape": list(shape)} for name, (dtype, shape) in layouts.items()},
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a finished store.

    Raises:
        DataError: If the folder or the file is missing, unreadable, incomplete or of another version.
    """
    if not path.is_dir():
        raise DataError(f"{path}: there is no store here; one is made from a data set on first use")
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        version, count = manifest["version"], len(manifest["names"])
        complete = {"size", "fingerprint"} <= manifest.keys()
        complete &= {"image", "scene", *manifest["info"]["tasks"]} <= manifest["arrays"].keys()
        complete &= all(layout["shape"][0] == count and layout["dtype"] for layout in manifest["arrays"].values())
        info_from_plain(manifest["info"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(path, f"{MANIFEST} is missing or unreadable") from error
    if version != FORMAT_VERSION:
        raise damaged(path, f"format {version}, this version of mgm reads format {FORMAT_VERSION}")
    if not complete:
        raise damaged(path, f"{MANIFEST} is not complete")
    return manifest


def damaged(path: Path, what: str) -> DataError:
    """The error for a store that cannot be used, with the remedy."""
    return DataError(f"{path}: the store is damaged ({what}); delete the folder, it is made again on next use")


def info_to_plain(info: DatasetInfo) -> dict[str, Any]:
    """As JSON would give it back."""
    return json.loads(json.dumps(asdict(info)))


def info_from_plain(plain: dict[str, Any]) -> DatasetInfo:
    """Inverse of `info_to_plain`."""
    listed = {name: tuple(plain[name]) for name in ("tasks", "classes", "scenes")}
    return DatasetInfo(**{**plain, **listed})
