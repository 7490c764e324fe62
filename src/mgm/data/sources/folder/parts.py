"""Splits of a folder's images: as table or folders give them, or drawn."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from mgm.data.base import Splits
from mgm.data.sources.folder.pictures import Picture
from mgm.data.sources.folder.settings import FolderSettings, SplitSettings
from mgm.data.splits import grouped_split, official_split, random_split


def given_parts(pictures: Sequence[Picture], settings: SplitSettings) -> list[str]:
    """Part of the split that each image belongs to; empty if none is given."""
    renamed = {"validation": "test"} if settings.val_is_test else {}
    return [renamed.get(picture.part, picture.part) for picture in pictures]


def split_pictures(
    pictures: Sequence[Picture], settings: FolderSettings, tasks: Sequence[str], kind: str, seed: int
) -> Splits:
    """The split of a kind that there is, see `FolderSource.splits`.

    Args:
        pictures: All images.
        settings: Of the folder.
        tasks: Of which a drawn part has labels, if it can.
        kind: ``official``, ``random`` or the name of the column of groups.
        seed: Of what is drawn.

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
    """What the official split lacks, in words, where some of it is given; begins with a semicolon."""
    if kind != "official" or not any(parts):
        return ""
    if "test" not in parts:
        return "; no image is in the part 'test', which it needs (folders or the column split; see docs/data.md)"
    return (
        "; no image is in the part 'val', which it needs: make one, or let it be taken from the training images by "
        "'split: {official_validation: 0.15}' in dataset.yaml"
    )


def _held_out(settings: SplitSettings, count: int) -> dict[str, int]:
    """Sizes of validation and test for so many images."""
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
