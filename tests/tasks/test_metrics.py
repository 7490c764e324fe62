"""Sums in double precision, without warnings when nothing was seen."""

import math

import torch

from mgm.tasks.metrics import StreamingSums, ratio, wide_sum


def test_sums_are_float64_and_start_at_zero() -> None:
    sums = StreamingSums({"count": 1, "bins": 3}, "cpu")
    assert sums.totals()["bins"].tolist() == [0.0, 0.0, 0.0]
    assert sums.totals()["bins"].dtype == torch.float64


def test_updates_add_up() -> None:
    sums = StreamingSums({"count": 1, "bins": 3}, "cpu")
    for _ in range(3):
        sums.update(count=torch.tensor(2**24 + 1), bins=torch.tensor([1, 0, 2]))
    totals = sums.totals()
    assert totals["count"].item() == 3 * (2**24 + 1)
    assert totals["bins"].tolist() == [3.0, 0.0, 6.0]


def test_what_was_read_does_not_change_afterwards() -> None:
    sums = StreamingSums({"count": 1}, "cpu")
    sums.update(count=torch.tensor(1))
    before = sums.totals()["count"]
    sums.update(count=torch.tensor(1))
    assert before.item() == 1.0
    assert sums.totals()["count"].item() == 2.0


def test_ratio() -> None:
    assert ratio(torch.tensor(1.0), torch.tensor(4.0)) == 0.25
    assert math.isnan(ratio(torch.tensor(0.0), torch.tensor(0.0)))


def test_wide_sum_keeps_small_terms() -> None:
    assert wide_sum(torch.tensor([2.0**24, 1.0, 1.0, 1.0])).item() == 2**24 + 3
