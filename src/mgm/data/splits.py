"""Splits into training, validation and test samples, and the choice of the labelled training samples.

The functions are deterministic: the same seed gives the same split on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mgm.data.base import Splits
from mgm.errors import DataError


def random_split(
    count: int, num_validation: int, num_test: int, seed: int, labelled: np.ndarray | None = None
) -> Splits:
    """Split samples at random, one by one.

    Args:
        count: Number of samples, ``num_validation`` and ``num_test`` of them for model selection and the final test.
        num_validation: At least 0.
        num_test: At least 0.
        seed: At least 0.
        labelled: ``[count, T]`` bool, which sample has labels of which task. Samples are exchanged where a task would else be
            missing from training, validation or test (in this order, if it has too few for all).

    Raises:
        DataError: If no sample is left to train on.
    """
    _check_sizes(count, num_validation, num_test)
    order = np.random.default_rng([seed, 0]).permutation(count)
    part = np.zeros(count, int)
    part[order[:num_validation]] = 1
    part[order[num_validation : num_validation + num_test]] = 2
    if labelled is not None:
        _share_out(part, labelled, order)
    return Splits(*(np.flatnonzero(part == number) for number in range(3)))


def grouped_split(groups: Sequence[str], num_validation: int, num_test: int, seed: int) -> Splits:
    """Split whole groups (scenes, buildings, videos), so that no group lies in two parts.

    Args:
        groups: Group of every sample.
        num_validation: Wanted number of samples for model selection. The set of groups is chosen, in random order, such
            that the number is met as nearly as whole groups allow; a wanted part gets at least one group.
        num_test: The same for the test, met from the groups that are left.
        seed: Seed, at least 0.

    Raises:
        DataError: If there are fewer groups than wanted parts, or no sample is left to train on.
    """
    _check_sizes(len(groups), num_validation, num_test)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    parts = 1 + (num_validation > 0) + (num_test > 0)
    if len(names) < parts:
        raise DataError(
            f"{len(names)} group(s) of images cannot be split into {parts} parts without tearing one apart; "
            "use the split 'random' or more scenes"
        )
    sizes = np.bincount(member)
    left = [int(group) for group in np.random.default_rng([seed, 1]).permutation(len(names))]
    chosen: list[np.ndarray] = []
    for target, spare in ((num_validation, 1 + (num_test > 0)), (num_test, 1)):
        part = _nearest_subset([int(sizes[group]) for group in left], target, spare)
        taken = [left[position] for position in part]
        chosen.append(np.flatnonzero(np.isin(member, taken)))
        left = [group for group in left if group not in set(taken)]
    return Splits(np.flatnonzero(np.isin(member, left)), chosen[0], chosen[1])


def official_split(
    train: np.ndarray, test: np.ndarray, num_validation: int, groups: Sequence[str], seed: int
) -> Splits:
    """A given test set, and a validation set of whole groups out of the given training set.

    Args:
        train: ``[N]`` indices of the given training samples, ascending.
        test: Indices of the given test samples, ascending.
        num_validation: Wanted number of samples for model selection, met as in `grouped_split`.
        groups: Group of every sample, by index; empty: samples are drawn one by one.
        seed: Seed, at least 0.

    Raises:
        DataError: If no sample is left to train on, or there are too few groups.
    """
    if groups:
        inner = grouped_split([groups[int(index)] for index in train], num_validation, 0, seed)
    else:
        inner = random_split(len(train), num_validation, 0, seed)
    return Splits(train[inner.train], train[inner.validation], test)


def fold_split(
    groups: np.ndarray, fold: int, folds: int, validation: float, seed: int, labelled: np.ndarray | None = None
) -> Splits:
    """Split samples such that each is tested in one of several folds; their sizes are as equal as whole groups allow.

    Args:
        groups: ``[N]`` group of every sample; those of a group lie in the same part.
        fold: Which one is the test set, from 1.
        folds: How many there are.
        validation: Share of all samples for model selection, out of the other folds.
        seed: Seed, at least 0, the same for all folds.
        labelled: As in `random_split`, for samples without groups.

    Raises:
        DataError: If there are too few groups.
    """
    names, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) <= folds:
        what = "labelled images" if len(names) == len(groups) else "groups of labelled images"
        raise DataError(f"{len(names)} {what} are too few for {folds} folds; use fewer (--folds)")
    order = np.random.default_rng([seed, 4]).permutation(len(names))
    part, filled = np.zeros(len(names), int), np.zeros(folds, int)
    for group in order[np.argsort(-sizes[order], kind="stable")]:  # the largest first, each where there is most room
        part[group] = filled.argmin()
        filled[part[group]] += sizes[group]
    test, rest = np.flatnonzero(part[member] == fold - 1), np.flatnonzero(part[member] != fold - 1)
    num_validation = max(1, round(validation * len(groups)))
    if len(names) == len(groups):
        inner = random_split(len(rest), num_validation, 0, seed, None if labelled is None else labelled[rest])
    else:
        inner = grouped_split([str(member[index]) for index in rest], num_validation, 0, seed)
    return Splits(rest[inner.train], rest[inner.validation], test)


def keep_together(splits: Splits, groups: np.ndarray) -> Splits:
    """The same split, but for groups that it tears apart: each goes as a whole to one of the parts that it lies in.

    The sizes of the parts stay as near to what they were as whole groups allow.

    Args:
        splits: Any.
        groups: ``[N]`` group of every sample, such as a digest of its image.

    Raises:
        DataError: If a part would lose all of its samples.
    """
    part = np.full(len(groups), 3)
    for number, indices in enumerate((splits.train, splits.validation, splits.test)):
        part[indices] = number
    names, member = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), 4), int)
    np.add.at(counts, (member, part), 1)
    counts = counts[:, :3]
    torn = np.flatnonzero((counts > 0).sum(axis=1) > 1)
    room = counts[torn].sum(axis=0)
    filled = counts.sum(axis=0) - room
    for group in sorted(torn, key=lambda group: -counts[group].sum()):
        place = max(np.flatnonzero(counts[group]), key=lambda place: (filled[place] == 0, room[place]))
        size = counts[group].sum()
        room[place] -= size
        filled[place] += size
        part[(member == group) & (part < 3)] = place
    if (filled[counts.sum(axis=0) > 0] == 0).any():
        raise DataError(
            f"{len(names)} different images are too few for a split that keeps copies in one part; add others"
        )
    return Splits(*(np.flatnonzero(part == number) for number in range(3)))


def labelled_subset(
    train: np.ndarray, strata: np.ndarray, fraction: float, seed: int, labelled: np.ndarray | None = None
) -> np.ndarray:
    """Choose the training samples that carry labels: stratified, and contained in the choice of a larger fraction of the same seed.

    The strata are served by Webster's method (the k-th
    sample of a stratum of n has priority (k - 1/2) / n, ties at random), which needs no rounding rule and, unlike the
    largest-remainder method, never takes a seat away when the total grows.

    Args:
        train: ``[N]`` indices of the training samples, each once.
        strata: ``[N]`` integer stratum of each, e.g. its scene class; a missing one may be any number such as -1.
        fraction: Wanted share, in (0, 1].
        seed: Seed, at least 0.
        labelled: ``[N, T]`` bool, which sample has labels of which task. One of each task goes first.

    Returns:
        ``[max(1, round(fraction * N))]`` sorted indices.

    Raises:
        DataError: If there is no training sample, the lengths differ, or the fraction is out of range.
    """
    train, strata = np.asarray(train), np.asarray(strata)
    if len(train) == 0 or train.shape != strata.shape:
        raise DataError(
            f"{len(train)} training images and {len(strata)} strata: need one stratum for each of at least 1 image"
        )
    if not 0 < fraction <= 1:
        raise DataError(f"the labelled fraction is {fraction}, it must lie in (0, 1]")
    rng = np.random.default_rng([seed, 2])
    priority = np.empty(len(train))
    for stratum in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == stratum))
        priority[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = np.lexsort((rng.random(len(train)), priority))
    if labelled is not None:
        first = _covering(order, labelled)
        order = np.array([*first, *(index for index in order if index not in set(first))])
    return np.sort(train[order[: max(1, round(fraction * len(train)))]])


def limit_training(splits: Splits, num_images: int, seed: int) -> Splits:
    """The same split with at most ``num_images`` training samples; validation and test stay whole.

    A limit of 0 or less means none; the choice of a larger one with the same seed contains that of a smaller one.
    """
    if num_images <= 0 or num_images >= len(splits.train):
        return splits
    order = np.random.default_rng([seed, 3]).permutation(len(splits.train))
    return Splits(np.sort(splits.train[order[:num_images]]), splits.validation, splits.test)


def _share_out(part: np.ndarray, labelled: np.ndarray, order: np.ndarray) -> None:
    """Exchange samples, in the given order, such that every part (0 train, 1 validation, 2 test) has labels of every task."""
    for place in range(3):
        for task in np.argsort(labelled.sum(axis=0), kind="stable"):
            if labelled[part == place, task].any():
                continue
            counts = np.stack([labelled[part == number].sum(axis=0) for number in range(3)])
            spare = [(counts[part[index], labelled[index]] > 1).all() for index in order]  # its part has more of each
            givers = order[labelled[order, task] & (np.array(spare) | (part[order] > place))]
            takers = order[(part[order] == place) & spare]
            if len(givers) and len(takers):
                part[[givers[0], takers[0]]] = part[[takers[0], givers[0]]]


def _covering(order: np.ndarray, labelled: np.ndarray) -> list[int]:
    """Of the samples in this order, those that come first with labels of each task, the rarest task first."""
    found: list[int] = []
    for task in np.argsort(labelled[order].sum(axis=0), kind="stable"):
        having = order[labelled[order, task]]
        if len(having) and not labelled[found, task].any():
            found.append(int(having[0]))
    return found


def _check_sizes(count: int, num_validation: int, num_test: int) -> None:
    if min(num_validation, num_test) < 0 or num_validation + num_test >= count:
        raise DataError(
            f"{count} images cannot give {num_validation} for validation, {num_test} for the test, and any to train on"
        )


def _nearest_subset(sizes: list[int], target: int, spare: int) -> list[int]:
    """Positions of a subset whose sum is as near to ``target`` as possible, leaving ``spare`` items out.

    Subset sums by dynamic programming: every sum remembers the subset of fewest leading items that makes it, so the
    random order of the items decides among the many subsets of equal sum.
    """
    if target == 0:
        return []
    bound = target + max(sizes)
    subsets: dict[int, tuple[int, ...]] = {0: ()}
    for position, size in enumerate(sizes):
        for total, subset in list(subsets.items()):
            if total + size <= bound and total + size not in subsets and len(subset) + 1 <= len(sizes) - spare:
                subsets[total + size] = (*subset, position)
        if target in subsets:
            break
    best = min((total for total in subsets if total > 0), key=lambda total: (abs(total - target), total))
    return list(subsets[best])
