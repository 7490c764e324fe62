"""Splits are partitions, depend on their seed alone, and labelled subsets are nested and balanced."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm.data.base import Splits
from mgm.data.splits import (
    fold_split,
    grouped_split,
    hold_out_labelled,
    keep_together,
    labelled_subset,
    limit_training,
    random_split,
)
from mgm.errors import DataError

seeds = st.integers(0, 2**32)
fractions = st.floats(0.01, 1.0)


def assert_partition(splits: Splits, count: int) -> None:
    parts = (splits.train, splits.validation, splits.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(count))
    assert all((np.diff(part) > 0).all() for part in parts)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 30), seeds)
def test_random_split_is_a_partition_of_the_wanted_sizes(num_validation, num_test, num_train, seed):
    count = num_validation + num_test + num_train
    splits = random_split(count, num_validation, num_test, seed)
    assert_partition(splits, count)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (num_train, num_validation, num_test)


def test_random_split_is_pinned():
    # published numbers rest on it: it must never change between versions
    splits = random_split(10, 2, 3, seed=0)
    assert (splits.validation.tolist(), splits.test.tolist()) == ([4, 6], [2, 3, 7])


@given(st.data(), st.integers(1, 20), st.integers(1, 3), seeds)
def test_no_unlabelled_image_is_held_out_and_each_part_has_labels_where_there_are_enough(data, count, num_tasks, seed):
    rows = st.lists(st.booleans(), min_size=num_tasks, max_size=num_tasks)
    labelled = np.array(data.draw(st.lists(rows, min_size=count, max_size=count))).reshape(count, num_tasks)
    splits = random_split(count + 6, 3, 3, seed)
    labelled = np.concatenate([labelled, np.zeros((6, num_tasks), bool)])
    found = hold_out_labelled(splits, labelled, seed)
    assert_partition(found, count + 6)
    if not labelled.any():
        assert found is splits
        return
    for part in (found.validation, found.test):
        assert labelled[part].any(axis=1).all()
        assert len(part) <= 3
    if num_tasks == 1 and labelled.sum() >= 3:
        assert all(labelled[part].any() for part in (found.train, found.validation, found.test))


def test_a_split_that_holds_out_labelled_images_stays_as_it_is():
    splits = random_split(10, 2, 3, seed=0)
    labelled = np.ones((10, 2), bool)
    labelled[splits.train[0]] = False
    assert hold_out_labelled(splits, labelled, 0) is splits


@pytest.mark.parametrize("sizes", [(5, 3, 2), (5, 6, 0), (0, 0, 0), (5, -1, 2)])
def test_random_split_needs_training_images(sizes):
    with pytest.raises(DataError, match="at least one for training"):
        random_split(*sizes, seed=0)


@given(st.lists(st.integers(1, 9), min_size=3, max_size=12), st.data(), seeds)
def test_grouped_split_keeps_groups_whole_and_sizes_near(sizes, data, seed):
    groups = [f"scene {group}" for group, size in enumerate(sizes) for _ in range(size)]
    num_validation = data.draw(st.integers(1, max(1, len(groups) // 3)))
    splits = grouped_split(groups, num_validation, 1, seed)
    assert_partition(splits, len(groups))
    names = [{groups[index] for index in part} for part in (splits.train, splits.validation, splits.test)]
    assert all(names)
    assert sum(map(len, names)) == len(set.union(*names))
    sums = {0}
    for size in sizes:
        sums |= {total + size for total in sums}
    if len(names[1]) < len(sizes) - 2:  # otherwise the other parts' own needs bound it
        nearest = min(abs(total - num_validation) for total in sums if total)
        assert abs(len(splits.validation) - num_validation) <= nearest


def test_grouped_split_without_one_part():
    splits = grouped_split(["a", "a", "b", "c", "c", "c"], 3, 0, seed=1)
    assert len(splits.test) == 0
    assert len(splits.validation) == 3


def test_grouped_split_needs_enough_groups():
    with pytest.raises(DataError, match="2 group"):
        grouped_split(["a", "a", "b", "b"], 1, 1, seed=0)


@given(st.lists(st.integers(1, 4), min_size=12, max_size=40), seeds)
def test_copies_are_kept_together_and_parts_keep_their_sizes(sizes, seed):
    groups = np.repeat([f"{number}" for number in range(len(sizes))], sizes)
    before = random_split(len(groups), len(sizes) // 4, len(sizes) // 4, seed)
    splits = keep_together(before, groups)
    assert_partition(splits, len(groups))
    for part, was in zip(("train", "validation", "test"), (before.train, before.validation, before.test), strict=True):
        own = getattr(splits, part)
        assert not set(groups[own]) & set(np.delete(groups, own))
        assert abs(len(own) - len(was)) <= 2 * max(sizes)


def test_a_split_without_copies_stays_and_one_of_copies_alone_is_refused():
    before = random_split(10, 2, 3, seed=0)
    after = keep_together(before, np.array(list("abcdefghij")))
    assert all(np.array_equal(getattr(before, part), getattr(after, part)) for part in ("train", "validation", "test"))
    with pytest.raises(DataError, match="2 different images are too few"):
        keep_together(before, np.array(list("ababababab")))


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=80), fractions, fractions, seeds)
def test_labelled_subsets_are_nested(strata, first, second, seed):
    train = np.arange(len(strata)) * 3 + 7
    small, large = sorted((first, second))
    inner = labelled_subset(train, np.array(strata), small, seed)
    outer = labelled_subset(train, np.array(strata), large, seed)
    assert set(inner.tolist()) <= set(outer.tolist()) <= set(train.tolist())
    assert len(inner) == max(1, round(small * len(train)))
    assert (np.diff(inner) > 0).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), fractions, seeds)
def test_labelled_subset_is_as_balanced_as_whole_images_allow(sizes, fraction, seed):
    strata = np.repeat(np.arange(len(sizes)), sizes)
    subset = labelled_subset(np.arange(len(strata)), strata, fraction, seed)
    counts = np.bincount(strata[subset], minlength=len(sizes))
    share = len(subset) / len(strata)
    # giving a label of one stratum to another never lessens the sum of (count - share * size)^2 / size
    cost = (counts - share * np.array(sizes)) ** 2 / np.array(sizes)
    for giver in np.flatnonzero(counts > 0):
        for taker in np.flatnonzero(counts < sizes):
            moved = counts.copy()
            moved[giver] -= 1
            moved[taker] += 1
            assert ((moved - share * np.array(sizes)) ** 2 / np.array(sizes)).sum() >= cost.sum() - 1e-9
    assert (np.abs(counts - share * np.array(sizes)) < 2).all()


def test_labelled_subset_of_everything_and_of_next_to_nothing():
    train, strata = np.array([4, 8, 15]), np.zeros(3, int)
    np.testing.assert_array_equal(labelled_subset(train, strata, 1.0, 0), train)
    assert len(labelled_subset(train, strata, 0.01, 0)) == 1


@pytest.mark.parametrize(
    ("train", "strata", "fraction"), [([], [], 0.5), ([1], [0, 1], 0.5), ([1], [0], 0.0), ([1], [0], 1.1)]
)
def test_labelled_subset_rejects_nonsense(train, strata, fraction):
    with pytest.raises(DataError):
        labelled_subset(np.array(train), np.array(strata), fraction, 0)


@pytest.mark.parametrize("having", [3, 4, 7])
def test_a_rare_task_is_in_every_part_and_among_the_labelled(having):
    for seed in range(30):
        labelled = np.ones((24, 2), bool)
        labelled[:, 1] = np.isin(np.arange(24), np.random.default_rng(seed).permutation(24)[:having])
        splits = random_split(24, 4, 4, seed, labelled)
        parts = (splits.train, splits.validation, splits.test)
        assert [len(part) for part in parts] == [16, 4, 4]
        assert sorted(np.concatenate(parts)) == list(range(24))
        assert all(labelled[part, 1].any() for part in parts)
        chosen = labelled_subset(splits.train, np.arange(16), 0.1, seed, labelled[splits.train])
        assert labelled[chosen].any(axis=0).all()
        more = labelled_subset(splits.train, np.arange(16), 0.4, seed, labelled[splits.train])
        assert set(chosen) <= set(more)


def test_too_few_labels_for_all_parts_go_to_training_first():
    for seed in range(20):
        labelled = np.ones((12, 2), bool)
        labelled[:, 1] = np.arange(12) == seed % 12
        assert labelled[random_split(12, 2, 2, seed, labelled).train, 1].any()
        labelled[(seed + 1) % 12, 1] = True
        splits = random_split(12, 2, 2, seed, labelled)
        assert labelled[splits.train, 1].any()
        assert labelled[splits.validation, 1].any()


def test_where_all_have_all_labels_nothing_is_exchanged():
    plain, asked = random_split(40, 6, 6, 3), random_split(40, 6, 6, 3, np.ones((40, 3), bool))
    np.testing.assert_array_equal(plain.test, asked.test)
    np.testing.assert_array_equal(plain.validation, asked.validation)
    strata = np.arange(40) % 3
    subsets = [labelled_subset(np.arange(40), strata, 0.3, 1, labelled) for labelled in (None, np.ones((40, 2), bool))]
    np.testing.assert_array_equal(subsets[0], subsets[1])


def test_limits_are_nested_and_touch_training_alone():
    splits = random_split(50, 10, 10, seed=0)
    small, large = limit_training(splits, 8, 1), limit_training(splits, 20, 1)
    assert set(small.train.tolist()) < set(large.train.tolist()) < set(splits.train.tolist())
    assert len(small.train) == 8
    assert small.test is splits.test
    assert limit_training(splits, 0, 1) is splits
    assert limit_training(splits, 99, 1) is splits


@given(st.integers(2, 6), st.integers(24, 40), st.integers(1, 3), seeds)
def test_folds_test_every_sample_once_and_tear_no_group_apart(folds, count, size, seed):
    groups = np.arange(count) // size
    made = [fold_split(groups, fold, folds, 0.15, seed) for fold in range(1, folds + 1)]
    assert sorted(np.concatenate([splits.test for splits in made]).tolist()) == list(range(count))
    tested = [len(splits.test) for splits in made]
    assert max(tested) - min(tested) <= size
    for splits in made:
        assert_partition(splits, count)
        parts = [set(groups[part].tolist()) for part in (splits.train, splits.validation, splits.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set(groups.tolist()))


def test_folds_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="3 groups of labelled images are too few for 3 folds"):
        fold_split(np.array([0, 0, 1, 2]), 1, 3, 0.15, 0)
    with pytest.raises(DataError, match="2 labelled images are too few for 5 folds"):
        fold_split(np.arange(2), 1, 5, 0.15, 0)
