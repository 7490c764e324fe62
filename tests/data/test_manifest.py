"""Names and splits in arrays: what goes in comes out, without loading all of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeSource
from mgm.data.base import Splits
from mgm.data.manifest import KEPT_SEEDS, Names, encode_names, encode_splits


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=20))
def test_names_come_back(names):
    stored = Names(*encode_names(names))
    assert list(stored) == names
    assert stored[-1] == names[-1]
    assert stored[1:3] == names[1:3]


def test_names_end():
    with pytest.raises(IndexError):
        Names(*encode_names(["a"]))[1]


def test_splits_come_back_for_every_seed():
    source = FakeSource(count=30)
    rows, table = encode_splits(source, np.arange(30))
    assert table.shape == (KEPT_SEEDS, 30)
    for seed, row in enumerate(rows["random"]):
        split, wanted = Splits.from_parts(table[row]), source.splits("random", seed)
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(split, part), getattr(wanted, part))


def test_kinds_that_too_few_samples_do_not_allow_are_left_out():
    rows, table = encode_splits(FakeSource(count=1), np.arange(1))
    assert rows == {}
    assert table.shape == (0, 1)
