"""Which files of a folder belong together: by name, never by order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mgm.data.files import FileTree
from mgm.data.folder.settings import FolderSettings
from mgm.data.targets import CHANNELS
from mgm.errors import DataError

TASKS = ("semantic", *CHANNELS)
"""In the order of `mgm.tasks.TASKS`."""
ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".npy"})
PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Name of a folder -> part of the split."""


@dataclass
class Picture:
    """An image and the files that belong to it."""

    name: str
    """Path below rgb/ without ending, with the part before it where parts are folders."""
    rgb: str
    part: str = ""
    scene: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """Task -> file."""


@dataclass(frozen=True)
class _File:
    """A file of one kind."""

    path: str
    part: str
    key: str
    """Path below the folder of its kind (and of its part), without suffix and ending."""

    @property
    def place(self) -> tuple[str, str]:
        return self.part, self.key

    @property
    def stem(self) -> tuple[str, str]:
        return self.part, self.key.rpartition("/")[2]


def list_pictures(tree: FileTree, settings: FolderSettings) -> list[Picture]:
    """All images with their labels, sorted by name.

    A label belongs to the image with the same path below its folder, or else to the only image with the same file name.

    Raises:
        DataError: If there is no image, if two files claim the same place, or if a label belongs to no image.
    """
    files = {kind: _files_of(tree, settings, kind) for kind in ("rgb", *TASKS)}
    if not files["rgb"]:
        raise DataError(
            f"{tree.path}: holds no pictures below {settings.folder('rgb')}/ ({', '.join(sorted(ENDINGS))})"
        )
    pictures: dict[tuple[str, str], Picture] = {}
    stems: dict[tuple[str, str], list[Picture]] = {}
    for file in files["rgb"]:
        if file.place in pictures:
            raise _twice(tree, pictures[file.place].rgb, file.path)
        scene = file.key.partition("/")[0] if "/" in file.key else ""
        name = f"{file.part}/{file.key}" if file.part else file.key
        pictures[file.place] = picture = Picture(name, file.path, PARTS.get(file.part, ""), scene)
        stems.setdefault(file.stem, []).append(picture)
    for task in TASKS:
        _assign(tree, task, files[task], pictures, stems)
    return [pictures[place] for place in sorted(pictures)]


def _assign(
    tree: FileTree,
    task: str,
    files: list[_File],
    pictures: Mapping[tuple[str, str], Picture],
    stems: Mapping[tuple[str, str], list[Picture]],
) -> None:
    """Give each label of a task to its image."""
    for file in files:
        picture = pictures.get(file.place)
        if picture is None:
            alike = stems.get(file.stem, [])
            if len(alike) != 1:
                what = f"{len(alike)} images have that name" if alike else "there is no image of that name"
                raise DataError(
                    f"{tree.describe(file.path)}: {what}, so it cannot be told what it belongs to; name it like its image "
                    "(same path below its folder; an ending such as _depth can be given as 'suffix' in dataset.yaml) "
                    "or remove it"
                )
            picture = alike[0]
        if task in picture.labels:
            raise _twice(tree, picture.labels[task], file.path)
        picture.labels[task] = file.path


def _files_of(tree: FileTree, settings: FolderSettings, kind: str) -> list[_File]:
    """The files of ``rgb`` or a task: ``KIND/...``, ``PART/KIND/...`` or ``KIND/PART/...``."""
    folder, suffix = settings.folder(kind), settings.layer(kind).suffix
    found = []
    for path in tree.names():
        parts = list(PurePosixPath(path).parts)
        part = ""
        if len(parts) > 2 and parts[0] in PARTS and parts[1] == folder:
            part = parts.pop(0)
        elif len(parts) > 2 and parts[0] == folder and parts[1] in PARTS:
            part = parts.pop(1)
        if len(parts) < 2 or parts[0] != folder:
            continue
        stem, dot, ending = parts[-1].rpartition(".")
        if f"{dot}{ending}".lower() not in ENDINGS or not stem:
            continue
        parts[-1] = stem.removesuffix(suffix)
        found.append(_File(path, part, "/".join(parts[1:])))
    return found


def _twice(tree: FileTree, first: str, second: str) -> DataError:
    return DataError(f"{tree.describe(first)} and {second} belong to the same image; remove one of them")
