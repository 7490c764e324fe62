"""Splits of the images of a folder: given by the table or by folders, or drawn at random."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from mgm.data.base import Splits
from mgm.data.sources.folder.pictures import Picture
from mgm.data.sources.folder.settings import FolderSettings, SplitSettings
from mgm.data.splits import grouped_split, random_split

_FOR_TRAINING = ("", "train")
"""Parts of the images that are trained on unless they are drawn for another part."""


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
    if kind == "official":
        if (part == "validation").any():
            return _from_parts(part)
        options = SplitSettings(options.official_validation, test=0)
    if options.random == "all":
        part[:] = "train"
    groups = np.array([picture.group for picture in pictures]) if settings.table.group and kind != "random" else None
    has = np.array([[task in picture.labels for task in tasks] for picture in pictures])
    free = np.flatnonzero(has.any(axis=1) & np.isin(part, _FOR_TRAINING))
    num_validation, num_test = _held_out(options, len(free), part)
    if groups is None:
        made = random_split(len(free), num_validation, num_test, seed, has[free])
    else:
        made = grouped_split(groups[free].tolist(), num_validation, num_test, seed)
    for name, found in (("validation", made.validation), ("test", made.test)):
        part[free[found]] = name
        if groups is not None:
            # an unlabelled image is not drawn, nor trained on if the others of its group are held out
            part[np.isin(groups, groups[free[found]]) & np.isin(part, _FOR_TRAINING)] = "none"
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


def _held_out(settings: SplitSettings, count: int, given: np.ndarray) -> list[int]:
    """Sizes of the validation and the test set to be drawn from ``count`` images; 0 for one that is among the ``given`` parts."""
    shares = {"validation": settings.validation, "test": settings.test}
    sizes = [max(1, round(share * count)) if share and name not in given else 0 for name, share in shares.items()]
    rest = count - settings.train
    if settings.train and rest >= sum(sizes):
        halves = (rest - rest // 2, rest // 2) if all(sizes) else (rest, rest)
        return [half if size else 0 for half, size in zip(halves, sizes, strict=True)]
    return sizes


def _from_parts(part: np.ndarray) -> Splits:
    return Splits(*(np.flatnonzero(np.isin(part, names)) for names in (_FOR_TRAINING, "validation", "test")))
