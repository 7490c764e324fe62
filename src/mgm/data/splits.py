"""Splits into training, validation and test sets, and selection of the labelled training samples.

All functions are deterministic: the same seed, at least 0, gives the same split on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mgm.data.base import Splits
from mgm.errors import DataError


def random_split(
    count: int, num_validation: int, num_test: int, seed: int, labelled: np.ndarray | None = None
) -> Splits:
    """Split ``count`` samples at random.

    With ``labelled`` ``[count, T]`` bool, which sample has labels for which task, samples are exchanged so that no task is missing
    from training, validation or test; with too few labels for all three, they are served in this order.

    Raises:
        DataError: If no sample is left for training.
    """
    _check_sizes(count, num_validation, num_test)
    order = np.random.default_rng([seed, 0]).permutation(count)
    part = np.zeros(count, int)
    part[order[:num_validation]] = 1
    part[order[num_validation : num_validation + num_test]] = 2
    if labelled is not None:
        _share_out(part, labelled, order)
    return Splits.from_parts(part)


def grouped_split(groups: Sequence[str], num_validation: int, num_test: int, seed: int) -> Splits:
    """Split whole groups (scenes, buildings, videos), so that no group is in two parts.

    Args:
        groups: Group of each sample.
        num_validation: Wanted number of validation samples. Groups are chosen in random order so that their total size is as
            close to it as possible; if it is not 0, the part gets at least one group.
        num_test: Wanted number of test samples, chosen likewise from the remaining groups.
        seed: Seed of the order.

    Raises:
        DataError: If there are fewer groups than wanted parts, or no sample is left for training.
    """
    _check_sizes(len(groups), num_validation, num_test)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    parts = 1 + (num_validation > 0) + (num_test > 0)
    if len(names) < parts:
        raise DataError(
            f"{len(names)} group{'s' * (len(names) > 1)} of images cannot be split into {parts} parts without dividing a group; "
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
    """Use a given test set, and split a validation set of whole groups off the given training set (indices, ascending).

    The size of the validation set is met as in `grouped_split`; without ``groups``, samples are drawn one by one.

    Raises:
        DataError: If no sample is left for training, or there are too few groups.
    """
    if groups:
        inner = grouped_split([groups[int(index)] for index in train], num_validation, 0, seed)
    else:
        inner = random_split(len(train), num_validation, 0, seed)
    return Splits(train[inner.train], train[inner.validation], test)


def fold_split(
    groups: np.ndarray, fold: int, folds: int, validation: float, seed: int, labelled: np.ndarray | None = None
) -> Splits:
    """Split for cross-validation: fold ``fold`` of 1 .. ``folds`` is the test set. Folds are as equal as groups ``[N]`` allow.

    The validation set is the fraction ``validation`` of all samples, taken from the other folds; the seed is that of all folds, and
    ``labelled`` is used as in `random_split`, for samples without groups.

    Raises:
        DataError: If there are too few groups.
    """
    names, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) <= folds:
        what = "labelled images" if len(names) == len(groups) else "groups of labelled images"
        raise DataError(f"{len(names)} {what} are too few for {folds} folds; use fewer (--folds)")
    order = np.random.default_rng([seed, 4]).permutation(len(names))
    part, filled = np.zeros(len(names), int), np.zeros(folds, int)
    for group in order[np.argsort(-sizes[order], kind="stable")]:  # the largest first, each into the emptiest fold
        part[group] = filled.argmin()
        filled[part[group]] += sizes[group]
    test, rest = np.flatnonzero(part[member] == fold - 1), np.flatnonzero(part[member] != fold - 1)
    num_validation = max(1, round(validation * len(groups)))
    if len(names) == len(groups):
        inner = random_split(len(rest), num_validation, 0, seed, None if labelled is None else labelled[rest])
    else:
        inner = grouped_split([str(member[index]) for index in rest], num_validation, 0, seed)
    return Splits(rest[inner.train], rest[inner.validation], test)


def hold_out_labelled(splits: Splits, labelled: np.ndarray, seed: int) -> Splits:
    """Move samples without any label from validation and test to training; labelled ones take their place where a task needs one.

    ``labelled`` ``[N, T]`` bool says which sample has labels for which task; the split stays as it is if there are none at all.
    """
    part = splits.parts(len(labelled))
    useless = np.logical_not(labelled.any(axis=1))
    if useless.all() or not useless[np.isin(part, (1, 2))].any():
        return splits
    order = np.random.default_rng([seed, 5]).permutation(len(labelled))
    _share_out(part, labelled, order[part[order] < 3])
    part[useless & np.isin(part, (1, 2))] = 0
    return Splits.from_parts(part)


def keep_together(splits: Splits, groups: np.ndarray) -> Splits:
    """Move each group that a split divides as a whole into one of the parts it is in.

    The sizes of the parts stay as close to the original ones as whole groups allow. ``groups`` ``[N]`` are those of the samples,
    such as digests of their images.

    Raises:
        DataError: If a part would lose all of its samples.
    """
    part = splits.parts(len(groups))
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
            f"{len(names)} different images are too few for a split that keeps copies of an image in one part; add more images"
        )
    return Splits.from_parts(part)


def labelled_subset(
    train: np.ndarray, strata: np.ndarray, fraction: float, seed: int, labelled: np.ndarray | None = None
) -> np.ndarray:
    """Choose the labelled training samples: stratified, and nested for a fixed seed (a larger fraction contains a smaller one).

    Strata are served by Webster's method: the k-th sample of a stratum of n has priority (k - 1/2) / n, ties broken at random.
    It needs no rounding rule and, unlike the largest-remainder method, never removes a sample when the total grows.

    Args:
        train: ``[N]`` indices of the training samples, without repetition.
        strata: ``[N]`` integer stratum of each sample, e.g. its scene class; a missing one may be any number, such as -1.
        fraction: Wanted fraction, in (0, 1].
        seed: Seed of the ties.
        labelled: ``[N, T]`` bool, which sample has labels for which task. One sample of each task is chosen first.

    Returns:
        ``[max(1, round(fraction * N))]`` sorted indices.

    Raises:
        DataError: If there is no training sample, the lengths differ, or the fraction is out of range.
    """
    train, strata = np.asarray(train), np.asarray(strata)
    if len(train) == 0 or train.shape != strata.shape:
        raise DataError(
            f"{len(train)} training images and {len(strata)} strata: at least one image is needed, and one stratum per image"
        )
    if not 0 < fraction <= 1:
        raise DataError(f"the labelled fraction is {fraction}; it must lie in (0, 1]")
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
    """Limit a split to at most ``num_images`` training samples (0 or less: no limit); validation and test are unchanged.

    Choices are nested for a fixed seed: that of a larger limit contains that of a smaller one.
    """
    if num_images <= 0 or num_images >= len(splits.train):
        return splits
    order = np.random.default_rng([seed, 3]).permutation(len(splits.train))
    return Splits(np.sort(splits.train[order[:num_images]]), splits.validation, splits.test)


def _share_out(part: np.ndarray, labelled: np.ndarray, order: np.ndarray) -> None:
    """Exchange samples, in the given order, so that each part (0 train, 1 validation, 2 test) has labels for every task."""
    for place in range(3):
        for task in np.argsort(labelled.sum(axis=0), kind="stable"):
            if labelled[part == place, task].any():
                continue
            counts = np.stack([labelled[part == number].sum(axis=0) for number in range(3)])
            # spare: the sample's part has others with labels for each of its tasks
            spare = np.array([(counts[part[index], labelled[index]] > 1).all() for index in order])
            givers = order[labelled[order, task] & (spare | (part[order] > place))]
            takers = order[(part[order] == place) & spare]
            if len(givers) and len(takers):
                part[[givers[0], takers[0]]] = part[[takers[0], givers[0]]]


def _covering(order: np.ndarray, labelled: np.ndarray) -> list[int]:
    """For each task, the rarest first, the first sample in this order that has labels for it, unless one is chosen already."""
    found: list[int] = []
    for task in np.argsort(labelled[order].sum(axis=0), kind="stable"):
        having = order[labelled[order, task]]
        if len(having) and not labelled[found, task].any():
            found.append(int(having[0]))
    return found


def _check_sizes(count: int, num_validation: int, num_test: int) -> None:
    if min(num_validation, num_test) < 0 or num_validation + num_test >= count:
        raise DataError(
            f"{count} images are too few for {num_validation} validation and {num_test} test images and at least one for training"
        )


def _nearest_subset(sizes: list[int], target: int, spare: int) -> list[int]:
    """Positions of a subset whose sum is as close to ``target`` as possible and which leaves out at least ``spare`` items.

    Subset sums by dynamic programming: each sum keeps the first subset found for it, so the (random) order of the items decides
    among the many subsets of equal sum.
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
