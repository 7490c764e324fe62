"""COCO annotations as labelling tools export them: wherever the files are, arranged as datumaro reads them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mgm.data.files import visible_files
from mgm.data.images import PICTURE_ENDINGS
from mgm.data.vocabulary import PARTS
from mgm.errors import DataError
from mgm.types import is_mapping

Sources = dict[tuple[str, str], tuple[Path, str]]
"""Subset and item as named by datumaro -> file of the image, and its part of the split."""
COCO_LAYOUT = """
  annotations/instances_train.json   images/train/0001.jpg    (COCO, CVAT; also val, test, default)
  result.json                        images/0001.jpg          (Label Studio)
  train/_annotations.coco.json       train/0001.jpg           (Roboflow; also valid, test)"""
"""Files of exports, for messages."""
_NEEDED = ("images", "annotations", "categories")


def arrange_coco(folder: Path, stage: Path, left_out: Counter[str]) -> Sources:
    """Write the annotations of a folder to ``stage`` in the one layout that datumaro reads, and find the image of each item.

    Annotations are all JSON files with images, annotations and categories, or only those called ``instances_...`` if there are
    any. An image is found by the last part of its ``file_name``; if several files have that name, the one counts whose path
    agrees best with the rest of ``file_name``, with the part of the split, and with the folder of the annotations.

    Counts in ``left_out`` what datumaro would skip without a word.

    Raises:
        DataError: If the folder has no COCO annotations, two images have the same id, or a mask is damaged.
    """
    files = sorted(visible_files(folder))
    found: dict[Path, dict[str, Any]] = {}
    for path in files:
        try:
            if path.suffix.lower() == ".json" and (values := _read(path)):
                found[path] = values
        except (OSError, ValueError, RecursionError):
            left_out[f"files that cannot be read ({path.relative_to(folder).as_posix()})"] += 1
    found = {path: values for path, values in found.items() if path.name.startswith("instances_")} or found
    if not found:
        others = ", ".join(path.relative_to(folder).as_posix() for path in files if path.suffix.lower() == ".json")
        raise DataError(
            f"{folder}: has no COCO annotations, a .json file with {', '.join(_NEEDED)}{f' (not {others})' if others else ''}; "
            f"expected one of{COCO_LAYOUT}"
        )
    pictures: dict[str, list[PurePosixPath]] = {}
    for path in files:
        if path.suffix.lower() in PICTURE_ENDINGS:
            pictures.setdefault(path.name, []).append(PurePosixPath(path.relative_to(folder).as_posix()))
    names = {path: [_plain_name(image) for image in values["images"]] for path, values in found.items()}
    shared = _shared_folders([name for listed in names.values() for name in listed])
    sources: Sources = {}
    subsets: Counter[str] = Counter()
    for place in ("images", "annotations"):
        (stage / place).mkdir(parents=True)
    for path, values in found.items():
        place = PurePosixPath(path.relative_to(folder).as_posix())
        part = _part(place)
        subsets[part] += 1
        subset = (part or "default") + (f"-{subsets[part]}" if subsets[part] > 1 else "")
        for image, name in zip(values["images"], names[path], strict=True):
            short = PurePosixPath(*name.parts[shared:])
            image["file_name"] = str(short)
            if picture := _best(pictures.get(name.name, ()), name, part, place.parent):
                sources[subset, str(short.with_suffix(""))] = folder / picture, part
        _check(values, path, left_out)
        _tidy(values)
        (stage / "annotations" / f"instances_{subset}.json").write_text(json.dumps(values), encoding="utf-8")
    return sources


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a file with COCO annotations of areas; None for any other file. Raises `ValueError` if it is damaged."""
    values = json.loads(path.read_bytes())
    if not (isinstance(values, dict) and set(_NEEDED) <= values.keys() and isinstance(values["images"], list)):
        return None
    if not all(is_mapping(image) and isinstance(image.get("file_name"), str) for image in values["images"]):
        raise ValueError("images without file_name")
    return values


def _plain_name(image: Mapping[str, Any]) -> PurePosixPath:
    """``file_name`` as a path below some folder; of paths on another machine, only the name of the file."""
    path = PurePosixPath(image["file_name"].replace("\\", "/"))
    return PurePosixPath(path.name) if path.is_absolute() or ".." in path.parts or ":" in str(path) else path


def _shared_folders(names: Sequence[PurePosixPath]) -> int:
    """Number of leading folders that all names have in common, such as ``images/``."""
    parents = [name.parts[:-1] for name in names]
    count = 0
    while parents and all(len(parts) > count and parts[count] == parents[0][count] for parts in parents):
        count += 1
    return count


def _part(place: PurePosixPath) -> str:
    """Part of the split that the names of a file or of its folders say; empty: none."""
    words = re.findall("[a-z]+", str(place).lower())
    return next((PARTS[word] for word in reversed(words) if word in PARTS), "")


def _best(
    files: Sequence[PurePosixPath], name: PurePosixPath, part: str, beside: PurePosixPath
) -> PurePosixPath | None:
    """The file that agrees best with an image's name, part, and folder of annotations; None if there is none or a tie."""

    def agreement(file: PurePosixPath) -> tuple[int, bool, int]:
        same = [one == other for one, other in zip(reversed(file.parts), reversed(name.parts), strict=False)]
        near = [one == other for one, other in zip(file.parts, beside.parts, strict=False)]
        return [*same, False].index(False), _part(file.parent) == part, [*near, False].index(False)

    ranked = sorted(files, key=agreement, reverse=True)
    tie = len(ranked) > 1 and agreement(ranked[0]) == agreement(ranked[1])
    return ranked[0] if ranked and not tie else None


def _check(values: dict[str, Any], path: Path, left_out: Counter[str]) -> None:
    """Remove and count annotations of no listed image, and count those without any shape.

    Raises:
        DataError: If an image's id is ambiguous, or a mask is damaged.
    """
    names: dict[str, str] = {}
    for image in values["images"]:
        if str(image.get("id")) in names:
            raise DataError(f"{path}: has several images with the id {image.get('id')}; export it again")
        names[str(image.get("id"))] = image["file_name"]
    if not isinstance(entries := values["annotations"], list):
        return
    listed = [entry for entry in entries if is_mapping(entry) and str(entry.get("image_id")) in names]
    if len(listed) < len(entries):
        left_out["annotations of images that are not listed"] += len(entries) - len(listed)
    values["annotations"] = listed
    for annotation in listed:
        area = annotation.get("segmentation")
        if area in (None, [], [[]], {}) and not annotation.get("bbox"):
            left_out["annotations that are not areas (empty)"] += 1
        elif area and is_mapping(area) and not _is_whole(area):
            name = names[str(annotation["image_id"])]
            raise DataError(
                f"{path}: image {name!r}, annotation {annotation.get('id')}: the mask is damaged, its run lengths do not "
                "add up to its size; correct or export it again"
            )


def _is_whole(mask: Mapping[str, Any]) -> bool:
    """Whether the run lengths of a mask add up to its size. Otherwise pycocotools fails, or invents the remaining pixels."""
    try:
        counts, (height, width) = mask["counts"], mask["size"]
        runs = _run_lengths(counts) if isinstance(counts, str) else counts
        return min(runs) >= 0 and sum(runs) == height * width
    except (KeyError, TypeError, ValueError):
        return False


def _run_lengths(text: str) -> list[int]:
    """Run lengths of a compressed mask.

    Each number has 5 bits per character, the lowest first, and a sixth bit that says that it goes on. From the fourth on,
    numbers are differences to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


def _tidy(values: Mapping[str, Any]) -> None:
    """Complete what some tools leave out, and count categories from 1: datumaro takes category 0 for no class."""
    categories, annotations = (
        [*filter(is_mapping, entries)] if isinstance(entries := values[key], list) else []
        for key in ("categories", "annotations")
    )
    shift = any(category.get("id") == 0 for category in categories)
    for entries, key in ((categories, "id"), (annotations, "category_id")):
        for entry in entries:
            if shift and isinstance(entry.get(key), int):
                entry[key] += 1
    for annotation in annotations:
        annotation.setdefault("iscrowd", 0)
        annotation.setdefault("segmentation", [])
