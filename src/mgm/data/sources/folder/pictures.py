"""Matching of the files of a folder to images: by name, never by order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from unicodedata import normalize

from mgm.data.files import FileTree, list_endings
from mgm.data.images import ENDINGS
from mgm.data.sources.folder.settings import CONFIDENCE_FILE, FolderSettings
from mgm.data.vocabulary import PARTS, naming_hint
from mgm.errors import DataError

_RANKS = {"": 0, "train": 1, "validation": 2, "test": 3}


@dataclass
class Picture:
    """An image and the files that belong to it."""

    name: str
    """Path below rgb/ without ending, prefixed by the part of the split if parts are folders."""
    rgb: str
    part: str = ""
    scene: str = ""
    group: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """Task name or ``mask`` -> file."""


@dataclass(frozen=True)
class _File:
    """A file of ``rgb``, ``mask`` or a task."""

    path: str
    folder: str
    """Name of its folder for the part of the split, as written; empty: none."""
    key: str
    """Path below the folders of its kind and part, without suffix and ending; in Unicode form NFC."""

    @property
    def place(self) -> tuple[str, str]:
        return PARTS.get(self.folder.lower(), ""), self.key

    @property
    def stem(self) -> str:
        return self.key.rpartition("/")[2]


def list_pictures(tree: FileTree, settings: FolderSettings) -> list[Picture]:
    """List all images with their labels: those without a part, then train, validation and test; each sorted by name.

    A label belongs to the image with the same path below its folder, else to the only image with the same file name.

    Raises:
        DataError: If there is no image, two files have the same role, a label belongs to no image, or a part or label that the
            settings require is missing.
    """
    files = _files_of_kinds(tree, settings)
    if not files["rgb"]:
        raise DataError(
            f"{tree.path}: has no images below {settings.folder('rgb')}/ ({', '.join(sorted(ENDINGS))})"
            f"{naming_hint(tree.names())}"
        )
    pictures: dict[tuple[str, str], Picture] = {}
    stems: dict[str, list[tuple[str, Picture]]] = {}
    for file in files.pop("rgb"):
        if file.place in pictures:
            raise _twice(tree, pictures[file.place].rgb, file.path)
        scene = file.key.partition("/")[0] if "/" in file.key else ""
        name = f"{file.folder}/{file.key}" if file.folder else file.key
        pictures[file.place] = picture = Picture(name, file.path, file.place[0], scene)
        stems.setdefault(file.stem, []).append((file.place[0], picture))
    for kind, found in files.items():
        for file in found:
            part = file.place[0]
            alike = [picture for other, picture in stems.get(file.stem, ()) if part in ("", other)]
            picture = pictures.get(file.place) or (alike[0] if len(alike) == 1 else None)
            if picture is None:
                what = f"{len(alike)} images have this name" if alike else "there is no image with this name"
                raise DataError(
                    f"{tree.describe(file.path)}: {what}, so its image is unknown; give it the name of its image "
                    "(same path below its folder; set an addition such as _depth as 'suffix' in dataset.yaml) "
                    "or remove it"
                )
            if kind in picture.labels:
                raise _twice(tree, picture.labels[kind], file.path)
            picture.labels[kind] = file.path
    _check_complete(tree, settings, pictures.values())

    def position(place: tuple[str, str]) -> tuple[int, int, str]:
        number = place[1].rpartition("/")[2] if settings.order == "number" else ""
        return _RANKS[place[0]], int(number) if number.isdecimal() else -1, place[1]

    return [pictures[place] for place in sorted(pictures, key=position)]


def _files_of_kinds(tree: FileTree, settings: FolderSettings) -> dict[str, list[_File]]:
    """Files of rgb, mask and every task: ``KIND/...``, ``PART/KIND/...`` or ``KIND/.../PART/...``, in upper or lower case."""
    found: dict[str, list[_File]] = {kind: [] for kind in ("rgb", *settings.kinds, "mask")}
    kinds = {settings.folder(kind).lower(): kind for kind in found}
    for path in tree.names():
        *folders, base = path.split("/")
        before = [folders.pop(0)] if len(folders) > 1 and folders[0].lower() in PARTS else []
        stem, dot, ending = base.rpartition(".")
        if not folders or folders[0].lower() not in kinds or not stem or f"{dot}{ending}".lower() not in ENDINGS:
            continue
        kind = kinds[folders.pop(0).lower()]
        place = next((place for place, folder in enumerate(folders) if folder.lower() in PARTS), None)
        part = before[0] if before else "" if place is None else folders.pop(place)
        key, suffix = (normalize("NFC", text) for text in ("/".join([*folders, stem]), settings.files(kind).suffix))
        found[kind].append(_File(path, part, key.removesuffix(suffix)))
    return found


def unread(tree: FileTree, pictures: Iterable[Picture], others: Iterable[str]) -> str:
    """Warning about files that belong to no image and are not among ``others``, by folder and ending; empty if there are none."""
    used = {file for picture in pictures for file in (picture.rgb, *picture.labels.values())}
    used |= {CONFIDENCE_FILE, *others}
    groups: dict[str, list[str]] = {}
    for name in tree.names():
        if name not in used and not re.match(r"(readme|licen[cs]e)\b", name.lower()):
            folders = name.split("/")[:-1]
            depth = 2 if name.partition("/")[0].lower() in PARTS else 1
            groups.setdefault("/".join(folders[:depth]), []).append(name)
    texts = [f"{folder}/ ({list_endings(names)})" for folder, names in groups.items() if folder]
    texts += groups.get("", [])
    more = f" and {len(texts) - 10} more" if len(texts) > 10 else ""
    hint = naming_hint(name for names in groups.values() for name in names) or _task_hint(groups, pictures)
    return f"not read: {', '.join(texts[:10])}{more}{hint}" if texts else ""


def _task_hint(groups: Mapping[str, Sequence[str]], pictures: Iterable[Picture]) -> str:
    """Suggest ``tasks`` in ``dataset.yaml`` for an unread folder of files named like images; empty if there is none."""
    stems = {PurePosixPath(picture.rgb).stem for picture in pictures}
    alike = (
        folder.rpartition("/")[2]
        for folder, names in groups.items()
        if any(path.stem in stems and path.suffix.lower() in ENDINGS for path in map(PurePosixPath, names))
    )
    folder = next(filter(None, alike), "")
    return (
        f"; labels of a kind of your own are declared in dataset.yaml: 'tasks: {{{folder}: {{range: [LOWEST, HIGHEST]}}}}' if they "
        f"are numbers, 'tasks: {{{folder}: {{classes: [NAME, NAME]}}}}' if they are classes (docs/own_field.md)"
        if folder
        else ""
    )


def parts_taken_for_scenes(pictures: Iterable[Picture]) -> str:
    """Warning about folders that count as scenes but have the names of parts of a split, or of folds; empty if there are none."""
    words = {scene: re.findall("[a-z]+", scene.lower()) for scene in {picture.scene for picture in pictures}}
    if len(words) > 1 and all(
        re.fullmatch(r"(fold|split|part|batch|subset)[^a-z]*\d+", scene.lower()) for scene in words
    ):
        names = ", ".join(f"{scene}/" for scene in sorted(words)[:3])
        return f"{names} ... are read as scenes; if they are none, set 'scenes: none' in dataset.yaml (--folds makes folds)"
    alike = {scene: PARTS[word] for scene, found in words.items() for word in found[:1] if word in PARTS}
    if len(set(alike.values())) < 2:
        return ""
    names = ", ".join(f"{scene}/" for scene in sorted(alike))
    return f"{names} are read as scenes; if they are a split, name them train, val and test"


def _check_complete(tree: FileTree, settings: FolderSettings, pictures: Iterable[Picture]) -> None:
    for part in settings.parts:
        if not any(picture.part == PARTS[part] for picture in pictures):
            raise DataError(f"{tree.path}: has no image in the part {part!r}; the data set is incomplete")
    tasks = {kind for picture in pictures for kind in picture.labels if kind in settings.kinds} | settings.tasks.keys()
    for picture in pictures if settings.complete else ():
        for task in sorted(tasks - picture.labels.keys()):
            raise DataError(
                f"{tree.describe(picture.rgb)}: its file in {settings.folder(task)}/ is missing; add it, or remove the image"
            )


def _twice(tree: FileTree, first: str, second: str) -> DataError:
    alike = normalize("NFC", first) == normalize("NFC", second)
    why = " (their names look the same but use different Unicode characters, as on a Mac)" if alike else ""
    return DataError(f"{tree.describe(first)} and {second} belong to the same image{why}; remove one of them")
