"""The split of a run's data, folds included, and the choice of its weakly labelled images."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np

from mgm.config import DataConfig
from mgm.data.base import DataSource, Splits
from mgm.data.manifest import KEPT_SEEDS
from mgm.data.splits import fold_split, hold_out_labelled, keep_together
from mgm.data.store import Store, rows_of
from mgm.errors import ConfigError, DataError
from mgm.functional.distributed import rank

EVERYTHING = "all"
"""Name of the split in which all images are for training, without validation and test sets."""
FOLD_VALIDATION = 0.15
"""Fraction of the labelled images used for validation in each fold."""


def parse_split(split: str) -> tuple[str, int, int]:
    """Parse a split setting such as ``random:2/5`` to its kind, fold and number of folds; ``random`` has fold 0 of 0.

    Raises:
        ConfigError: If the fold is not valid.
    """
    kind, colon, place = split.partition(":")
    fold, _, folds = place.partition("/")
    if not colon:
        return kind, 0, 0
    numbers = fold.isdecimal() and folds.isdecimal() and 1 <= int(fold) <= int(folds) > 1
    if not numbers or kind in ("", EVERYTHING):
        raise ConfigError(f"split is {split!r}; folds are written like random:2/5, the second of five")
    return kind, int(fold), int(folds)


def make_splits(store: Store, source: DataSource, config: DataConfig, has: np.ndarray) -> Splits:
    """Make the split of the settings: one of the source's, a fold, or all images for training.

    Folds keep images together that no split of their kind separates, and put no unlabelled images into test sets; those that may
    be of a group in the validation or test set are left out. Random splits keep exact copies of an image in the same part. In other
    splits, and where the data set fixes a part, test images that are copies of training or validation images are left out, with a
    warning. ``has`` ``[N, tasks]`` bool says which image has labels for which task.

    Raises:
        DataError: If a fixed test set consists of copies only, or there are too few different images for the folds.
    """
    source = rows_of(store, source)
    kind, fold, folds = parse_split(config.split)
    if kind == EVERYTHING:
        none = np.zeros(0, np.int64)
        return Splits(np.arange(len(source)), none, none)
    _, first, inverse = np.unique(store.digests, return_index=True, return_inverse=True)
    originals = first[inverse]  # index of the first image with the same pixels
    if not folds:
        splits = source.splits(kind, config.split_seed)
        drawn = kind == "random" and not _has_given_part(source)
        if drawn:  # the source knows which label files there are, the store which of them hold values
            splits = hold_out_labelled(splits, store.labelled(store.info.tasks), config.split_seed)
        if len(first) == len(store):
            return splits
        if not drawn:
            return _without_copies(store, splits, originals)
        try:
            return keep_together(splits, originals)
        except DataError as error:
            warn_once(
                f"{store.info.name}: {error}; its parts share pictures, so test scores are of pictures that were trained on"
            )
            return splits
    groups, together = originals, np.arange(len(source))
    if kind != "random":
        parts = np.stack([source.splits(kind, seed).parts(len(source)) for seed in range(KEPT_SEEDS)])
        # an unlabelled image is held out (in no part) with the labelled ones of its group
        groups, together = (
            np.unique(parted, axis=1, return_inverse=True)[1].reshape(-1) for parted in (parts % 3, parts > 0)
        )
    labelled = np.flatnonzero(has.any(axis=1))
    found = fold_split(groups[labelled], fold, folds, FOLD_VALIDATION, config.split_seed, has[labelled])
    validation, test = labelled[found.validation], labelled[found.test]
    others = np.setdiff1d(np.arange(len(source)), labelled)
    apart = ~np.isin(together[others], together[np.concatenate([validation, test])])
    train = np.union1d(labelled[found.train], others[apart])
    return _without_copies(store, Splits(train, validation, test), originals)


def _has_given_part(source: DataSource) -> bool:
    """Whether random splits keep a validation or test set that the data set fixes."""
    drawn = [source.splits("random", seed) for seed in range(KEPT_SEEDS)]
    parts = ([getattr(splits, part) for splits in drawn] for part in ("validation", "test"))
    return any(all(np.array_equal(part, of_one[0]) for part in of_one) for of_one in parts)


def _without_copies(store: Store, splits: Splits, originals: np.ndarray) -> Splits:
    """Remove test images that are copies of training or validation images, with a warning; `DataError` if none is left."""
    used = np.concatenate([splits.train, splits.validation])
    found: list[str] = []
    left: list[np.ndarray] = []
    for part, indices, others, so in (
        ("test", splits.test, used, "they are not scored"),
        ("validation", splits.validation, splits.train, "the best step is chosen on what was trained on"),
    ):
        copied = np.isin(originals[indices], originals[others])
        left.append(indices[~copied])
        if copied.any():
            copy = indices[copied][0]
            pair = f"{store.names[copy]} = {store.names[others[originals[others] == originals[copy]][0]]}"
            found.append(f"{copied.sum()} {part} image(s) are exact copies of others that the run sees ({pair}); {so}")
    if len(splits.test) and not len(left[0]):
        raise DataError(f"{store.info.name}: {found[0]}, and no other is left; give test images of their own")
    for text in found:
        warn_once(f"{store.info.name}: {text}; take one of each pair out (mgm data inspect lists them)")
    return Splits(splits.train, splits.validation, left[0])


def weak_subset(train: np.ndarray, labelled: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw ``fraction * len(train)`` images at random from the training images that are not labelled, or all of them; sorted."""
    others = np.setdiff1d(train, labelled)
    count = min(len(others), round(fraction * len(train)))
    return np.sort(np.random.default_rng((seed, 1)).permutation(others)[:count])


def strata(scenes: np.ndarray, indices: np.ndarray, multi_hot: bool) -> np.ndarray:
    """Stratum ``[N]`` of each sample, by which labelled subsets are balanced: its scene.

    Multi-hot labels form a single stratum, since most combinations occur only once.
    """
    if multi_hot or not scenes.shape[1]:
        return np.zeros(len(indices), dtype=np.int64)
    known = np.nan_to_num(scenes[indices], nan=-1.0)
    return np.unique(known, axis=0, return_inverse=True)[1].reshape(-1)


@cache
def warn_once(text: str) -> None:
    """Log a warning in the first process, only once per text."""
    if rank() == 0:
        logging.getLogger("mgm").warning(text)
