"""Splits of the images of a folder: given by the table or by folders, or drawn at random."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from mgm.data.base import Splits
from mgm.data.sources.folder.pictures import Picture
from mgm.data.sources.folder.settings import FolderSettings, SplitSettings
from mgm.data.splits import grouped_split, official_split, random_split


def given_parts(pictures: Sequence[Picture], settings: SplitSettings) -> list[str]:
    """Given part of the split of each image; empty if none is given."""
    renamed = {"validation": "test"} if settings.val_is_test else {}
    return [renamed.get(picture.part, picture.part) for picture in pictures]


def split_pictures(
    pictures: Sequence[Picture], settings: FolderSettings, tasks: Sequence[str], kind: str, seed: int
) -> Splits:
    """Split the images by an available ``kind``, see `FolderSource.splits`; each drawn part should have labels for the ``tasks``.

    Raises:
        DataError: If there are too few labelled images.
    """
    part, options = np.array(given_parts(pictures, settings.split), dtype="U10"), settings.split
    labelled = np.array([bool(picture.labels) for picture in pictures])
    groups = [picture.group for picture in pictures] if settings.table.group and kind != "random" else []
    if kind == "official":
        if (part == "validation").any():
            return _from_parts(part)
        train, test = np.flatnonzero(part != "test"), np.flatnonzero(part == "test")
        return official_split(train, test, max(1, round(options.official_validation * len(train))), groups, seed)
    if options.random == "all":
        part = np.full(len(pictures), "train", part.dtype)
        labelled[:] = True
    free = np.flatnonzero(labelled & ((part == "") | (part == "train")))
    wanted = {name: 0 if (part == name).any() else size for name, size in _held_out(options, len(free)).items()}
    if groups:
        made = grouped_split([groups[index] for index in free], wanted["validation"], wanted["test"], seed)
    else:
        has = np.array([[task in pictures[index].labels for task in tasks] for index in free.tolist()])
        made = random_split(len(free), wanted["validation"], wanted["test"], seed, has)
    part[free[made.validation]], part[free[made.test]] = "validation", "test"
    return _from_parts(part)


def lacking_parts(parts: Collection[str], kind: str) -> str:
    """Explain which part the official split lacks if others are given; begins with a semicolon, or is empty."""
    if kind != "official" or not any(parts):
        return ""
    if "test" not in parts:
        return (
            "; it needs the part 'test', but no image is in it (set by folders or the column split; see docs/data.md)"
        )
    return (
        "; it needs the part 'val', but no image is in it: make one, or take it from the training images with "
        "'split: {official_validation: 0.15}' in dataset.yaml"
    )


def _held_out(settings: SplitSettings, count: int) -> dict[str, int]:
    """Sizes of the validation and test sets for ``count`` images."""
    sizes = {
        name: max(1, round(share * count)) if share else 0
        for name, share in (("validation", settings.validation), ("test", settings.test))
    }
    if settings.train and count - sum(sizes.values()) >= settings.train:
        return dict.fromkeys(sizes, (count - settings.train) // 2)
    return sizes


def _from_parts(part: np.ndarray) -> Splits:
    validation, test = np.flatnonzero(part == "validation"), np.flatnonzero(part == "test")
    return Splits(np.setdiff1d(np.arange(len(part)), np.concatenate([validation, test])), validation, test)
