"""Data sets: reading, splitting, converting, loading and augmenting them.

`DATASETS` lists those with a name of their own; `open_source` opens one by name or path. This file imports neither
NumPy nor torch, so that the command line can list data sets at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mgm.errors import ConfigError, DataError, unknown

if TYPE_CHECKING:
    from mgm.data.base import DataSource
    from mgm.data.files import FileTree

DEFAULT_ROOMS = 2000


@dataclass(frozen=True)
class Dataset:
    """An entry of the registry."""

    description: str
    """One line for lists."""
    open: Callable[[Path | None, int], DataSource]
    """From its folder (none for sets that make themselves) and the wanted number of images (0: all or the default)."""
    recognises: Callable[[FileTree], bool]
    """Whether files look like this data set."""
    layout: str
    """What its folder contains; empty for a set that makes itself."""
    instructions: str = ""
    """How to get it."""


def _rooms(path: Path | None, num_images: int) -> DataSource:
    from mgm.data.rooms import RoomsSource

    return RoomsSource(num_images=num_images or DEFAULT_ROOMS, seed=0)


def _nyuv2(path: Path | None, num_images: int) -> DataSource:
    from mgm.data.nyuv2 import NYUv2Source

    assert path is not None
    return NYUv2Source(path)


def _camvid(path: Path | None, num_images: int) -> DataSource:
    from mgm.data.camvid import CamVidSource

    assert path is not None
    return CamVidSource(path)


def _has_all(*names: str) -> Callable[[FileTree], bool]:
    """Whether files or folders of these names exist."""

    def check(tree: FileTree) -> bool:
        files = tree.names()
        return all(any(file == name or file.startswith(f"{name}/") for file in files) for name in names)

    return check


DATASETS: dict[str, Dataset] = {
    "rooms": Dataset(
        "procedural rooms, rendered on first use: six tasks with exact labels, scene labels, any number of images",
        _rooms,
        lambda tree: False,
        "",
    ),
    "nyuv2": Dataset(
        "NYU Depth V2, 1,449 indoor photographs: 40 classes, depth, derived normals, 27 scene types",
        _nyuv2,
        _has_all("rgb", "depth", "semantic40", "normal", "index.csv"),
        "rgb/NNNN.jpg, depth/NNNN.png, semantic40/NNNN.png, normal/NNNN.jpg, index.csv, classes40.txt, scene_types.txt "
        "(a folder or a zip)",
        "NYU Depth V2 is given out for research by its authors; convert it to this layout",
    ),
    "camvid": Dataset(
        "CamVid, 701 road photographs: 11 classes, which also serve as multi-hot weak labels",
        _camvid,
        _has_all("train/rgb", "train/semantic", "val", "test", "classes.txt"),
        "{train,val,test}/rgb/NAME.jpg, {train,val,test}/semantic/NAME.png, classes.txt (a folder or a zip)",
        "CamVid is given out for research by the University of Cambridge; convert it to this layout",
    ),
}
"""Built-in name -> how to open it."""


def open_source(name_or_path: str, num_images: int = 0) -> DataSource:
    """Open a data set by its name or by the path of its files.

    Args:
        name_or_path: ``rooms``; another built-in name, looked for in ``$MGM_DATA`` as folder ``<name>`` or archive
            ``<name>.zip``; or a folder or zip archive, recognised by what it contains. A name goes before a path: write
            ``./rooms`` for a folder of that name.
        num_images: How many rooms to render (0: 2,000). Sets of photographs are opened whole, so that one converted
            store serves every limit: apply `mgm.data.splits.limit_training` to their splits.

    Raises:
        ConfigError: If it is neither a built-in name nor an existing path.
        DataError: If the files are missing or of no known layout; the message says what to do.
    """
    if name_or_path in DATASETS:
        entry = DATASETS[name_or_path]
        return entry.open(_installed(name_or_path, entry) if entry.layout else None, num_images)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        if os.sep not in name_or_path and "." not in name_or_path:
            raise ConfigError(f"{unknown('data set', name_or_path, DATASETS)}, or the path of a folder or zip archive")
        raise DataError(
            f"{path}: does not exist; give the folder or zip archive of a data set, or one of {', '.join(DATASETS)}"
        )
    from mgm.data.files import open_tree

    tree = open_tree(path)
    for entry in DATASETS.values():
        if entry.recognises(tree):
            return entry.open(path, num_images)
    layouts = "\n".join(f"  {name}: {entry.layout}" for name, entry in DATASETS.items() if entry.layout)
    raise DataError(f"{path}: is of no known layout. Known are\n{layouts}")


def _installed(name: str, entry: Dataset) -> Path:
    """Where the files of a built-in data set lie below ``$MGM_DATA``."""
    root = os.environ.get("MGM_DATA", "")
    places = [Path(root).expanduser() / name, Path(root).expanduser() / f"{name}.zip"] if root else []
    for place in places:
        if place.exists():
            return place
    searched = f"not in {' or '.join(map(str, places))}" if places else "$MGM_DATA is not set"
    raise DataError(
        f"data set {name!r} is not here ({searched}). {entry.instructions}: {entry.layout}; then put it into "
        f"$MGM_DATA/{name}, or give its path instead of the name"
    )
