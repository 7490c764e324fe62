"""``manifest.json``: the description of a store. Its size does not depend on the number of samples."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from mgm.data.files import schema
from mgm.errors import ConfigError, DataError
from mgm.types import Aspect, DatasetInfo, ImageFormat, parse_size

FORMAT_VERSION = 3
MANIFEST = "manifest.json"

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
