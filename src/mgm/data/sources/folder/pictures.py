"""Which files of a folder belong to the same image: matched by name, never by order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mgm.data.files import FileTree
from mgm.data.sources.folder.settings import FolderSettings
from mgm.errors import DataError
from mgm.tasks import TASKS

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
    group: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """Task or ``mask`` -> file."""


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
    """All images with their labels: those without a part, then train, validation and test; each sorted by name.

    A label belongs to the image with the same path below its folder, or else to the only image with the same file name.

    Raises:
        DataError: If there is no image, two files claim the same place, a label belongs to no image, or a part or label is
            missing that the settings demand.
    """
    files = _files_of_kinds(tree, settings)
    if not files["rgb"]:
        raise DataError(
            f"{tree.path}: holds no pictures below {settings.folder('rgb')}/ ({', '.join(sorted(ENDINGS))})"
        )
    pictures: dict[tuple[str, str], Picture] = {}
    stems: dict[tuple[str, str], list[Picture]] = {}
    for file in files.pop("rgb"):
        if file.place in pictures:
            raise _twice(tree, pictures[file.place].rgb, file.path)
        scene = file.key.partition("/")[0] if "/" in file.key else ""
        name = f"{file.part}/{file.key}" if file.part else file.key
        pictures[file.place] = picture = Picture(name, file.path, PARTS.get(file.part, ""), scene)
        stems.setdefault(file.stem, []).append(picture)
    for kind, found in files.items():
        _assign(tree, kind, found, pictures, stems)
    _check_complete(tree, settings, list(pictures.values()))
    ranks = {part: rank for rank, part in enumerate(("", *PARTS))}

    def position(place: tuple[str, str]) -> tuple[int, int, str]:
        number = place[1].rpartition("/")[2] if settings.order == "number" else ""
        return ranks[place[0]], int(number) if number.isdecimal() else -1, place[1]

    return [pictures[place] for place in sorted(pictures, key=position)]


def _assign(
    tree: FileTree,
    kind: str,
    files: list[_File],
    pictures: Mapping[tuple[str, str], Picture],
    stems: Mapping[tuple[str, str], list[Picture]],
) -> None:
    """Give each label of a kind to its image."""
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
        if kind in picture.labels:
            raise _twice(tree, picture.labels[kind], file.path)
        picture.labels[kind] = file.path


def _files_of_kinds(tree: FileTree, settings: FolderSettings) -> dict[str, list[_File]]:
    """The files of rgb, mask and every task: ``KIND/...``, ``PART/KIND/...`` or ``KIND/PART/...``."""
    found: dict[str, list[_File]] = {kind: [] for kind in ("rgb", *TASKS, "mask")}
    kinds = {settings.folder(kind): kind for kind in found}
    for path in tree.names():
        parts = list(PurePosixPath(path).parts)
        part = ""
        if len(parts) > 2 and parts[0] in PARTS and parts[1] in kinds:
            part = parts.pop(0)
        elif len(parts) > 2 and parts[0] in kinds and parts[1] in PARTS:
            part = parts.pop(1)
        if len(parts) < 2 or parts[0] not in kinds:
            continue
        stem, dot, ending = parts[-1].rpartition(".")
        if f"{dot}{ending}".lower() in ENDINGS and stem:
            kind = kinds[parts[0]]
            parts[-1] = stem.removesuffix(settings.files(kind).suffix)
            found[kind].append(_File(path, part, "/".join(parts[1:])))
    return found


def _check_complete(tree: FileTree, settings: FolderSettings, pictures: list[Picture]) -> None:
    for part in settings.parts:
        if not any(picture.part == PARTS[part] for picture in pictures):
            raise DataError(f"{tree.path}: holds no picture in the part {part!r}; the data set is not complete")
    tasks = {kind for picture in pictures for kind in picture.labels if kind in TASKS} | settings.tasks.keys()
    for picture in pictures if settings.complete else ():
        for task in sorted(tasks - picture.labels.keys()):
            raise DataError(
                f"{tree.describe(picture.rgb)}: its file in {settings.folder(task)}/ is missing; fetch it, or remove the image"
            )


def _twice(tree: FileTree, first: str, second: str) -> DataError:
    return DataError(f"{tree.describe(first)} and {second} belong to the same image; remove one of them")
