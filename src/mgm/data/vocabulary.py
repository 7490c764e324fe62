"""Common names of folders, splits, classes and scenes. Imports very little, so that the command line can use it without delay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import normalize

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Name of a folder or table cell in lower case -> part of the split."""
_USUAL = {
    "rgb": "image images img imgs picture pictures photo photos photographs color colour jpegimages frames jpg jpeg png",
    "semantic": "masks label labels seg segmentation segmentations annotation annotations ann anns gt groundtruth ground_truth "
    "semantics semantic_labels segmentationclass classes labelmaps",
    "depth": "depths depth_map depth_maps depthmap depthmaps disparity",
    "normal": "normals surface_normal surface_normals normal_map normal_maps",
}
_KINDS = {word: kind for kind, words in _USUAL.items() for word in words.split()}


def naming_hint(names: Iterable[str]) -> str:
    """Suggest lines of ``dataset.yaml`` for the common names of folders, not ours, in names such as ``images/0001.png``.

    Begins with a semicolon, or is empty.
    """
    found: dict[str, str] = {}
    for name in names:
        for folder in name.split("/")[:-1][:2]:
            if kind := _KINDS.get(folder.lower()):
                found.setdefault(kind, folder)
    keys = ", ".join(f"'{kind}: {{folder: {folder}}}'" for kind, folder in found.items())
    return f"; name the folders in dataset.yaml: {keys}" if keys else ""


def namesakes(names: Sequence[str], others: Sequence[str]) -> dict[int, int]:
    """Match names: index in ``names`` -> index in ``others``.

    An exact match is preferred; otherwise case, Unicode form and word separators are ignored, and the first match counts.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(others):
        places.setdefault(_plain(name), place)
    exact = {name: place for place, name in reversed(list(enumerate(others)))}
    found = {index: exact.get(name, places.get(_plain(name), -1)) for index, name in enumerate(names)}
    return {index: place for index, place in found.items() if place >= 0}


def _plain(name: str) -> str:
    return " ".join(normalize("NFKC", name).casefold().replace("_", " ").replace("-", " ").split())
