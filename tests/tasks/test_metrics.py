"""Sums in double precision, without warnings when nothing was seen."""

import math

import pytest
import torch

from mgm.tasks.metrics import StreamingSums, mean_relative_gain, ratio, wide_sum


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


HIGHER = {"semantic": True, "depth": False, "normal": False}
SINGLE = {"semantic": 0.199, "depth": 0.908, "normal": 0.312}
MGM = {"semantic": 0.229, "depth": 0.844, "normal": 0.277}


def test_mean_gain_of_the_papers_table():
    """Table 2 at 25 %, MGM against ST: mIoU up, depth and normal errors down."""
    assert mean_relative_gain(MGM, SINGLE, HIGHER) == pytest.approx((0.030 / 0.199 + 0.064 / 0.908 + 0.035 / 0.312) / 3)
    assert mean_relative_gain(SINGLE, SINGLE, HIGHER) == 0.0


def test_mean_gain_leaves_out_a_task_without_labels_and_nothing_else():
    nan = float("nan")
    without = mean_relative_gain({**MGM, "depth": nan}, {**SINGLE, "depth": nan}, HIGHER)
    assert without == pytest.approx((0.030 / 0.199 + 0.035 / 0.312) / 2)
    assert math.isnan(mean_relative_gain({**MGM, "depth": nan}, SINGLE, HIGHER))
    assert math.isnan(mean_relative_gain(MGM, {**SINGLE, "semantic": 0.0}, HIGHER))
    unknown = dict.fromkeys(HIGHER, nan)
    assert math.isnan(mean_relative_gain(unknown, unknown, HIGHER))
