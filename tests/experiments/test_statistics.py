"""Known cases, properties, and how often tests are wrong when there is nothing to find."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mgm.experiments.statistics import (
    EXACT_PAIRS,
    POWER,
    compare_paired,
    detectable_difference,
    holm,
    least_sign_flip_p,
    pairs_needed,
    power,
    spread,
)
from mgm.tasks import MetricInfo

NAN = float("nan")
differences = st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=8)
p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("values", "info", "text"),
    [
        ([0.2, 0.4, NAN], MetricInfo("mIoU", True), "0.300 ± 0.141"),
        ([25.0, 27.0], MetricInfo("mean angle", False, "°"), "26.00 ± 1.41"),
        ([0.00012, 0.00014], MetricInfo("absolute error", False, "m", 7), "0.0001300 ± 0.0000141"),
        ([0.2, NAN], MetricInfo("mIoU", True), "0.200"),
        ([NAN], MetricInfo("mIoU", True), "–"),
    ],
)
def test_spread_as_text_has_the_decimals_of_its_metric(values, info, text):
    assert spread(values).text(info) == text


def against_zero(values):
    return compare_paired(values, [0.0] * len(values))


@pytest.mark.parametrize("count", [2, 3, 5, 12, 40])
def test_paired_comparison_is_the_paired_t_test(count):
    random = np.random.default_rng(count)
    values, reference = random.normal(0.3, 1, count), random.normal(0, 1, count)
    ours = compare_paired(values.tolist(), reference.tolist())
    theirs = stats.ttest_rel(values, reference)
    interval = theirs.confidence_interval(0.95)
    assert ours.count == count
    assert ours.t_p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (ours.mean, ours.std) == pytest.approx(((values - reference).mean(), (values - reference).std(ddof=1)))


def test_sign_flips_by_hand():
    assert against_zero([1.0, 2.0, 3.0]).sign_flip_p == 2 / 8
    assert against_zero([1.0, 2.0, -3.0]).sign_flip_p == 1.0
    assert against_zero([1.0, -2.0, 5.0]).sign_flip_p == 6 / 8  # of 2, 4, 6 and 8 all but 2 reach 4
    assert against_zero([0.1 + 0.2, -0.3, 1.0]).sign_flip_p == 6 / 8, "sums that differ in rounding alone are equal"


@pytest.mark.parametrize("count", [2, 5, EXACT_PAIRS, EXACT_PAIRS + 15])
def test_least_p_of_sign_flips_is_reached(count):
    assert against_zero([1.0] * count).sign_flip_p == pytest.approx(least_sign_flip_p(count))


def test_p_is_below_a_twentieth_in_a_twentieth_of_cases_under_the_null():
    random, trials = np.random.default_rng(1), 1000
    comparisons = [
        compare_paired(random.normal(size=8).tolist(), random.normal(size=8).tolist()) for _ in range(trials)
    ]
    margin = 4 * math.sqrt(0.05 * 0.95 / trials)  # four standard errors
    for values in ([c.t_p for c in comparisons], [c.sign_flip_p for c in comparisons]):
        assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=margin)
    misses = np.mean([not c.low < 0 < c.high for c in comparisons])
    assert misses == pytest.approx(0.05, abs=margin)


def test_holm_holds_the_chance_of_any_false_discovery():
    random = np.random.default_rng(3)
    any_wrong = [min(holm(random.random(6).tolist())) < 0.05 for _ in range(4000)]
    assert np.mean(any_wrong) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


@given(differences)
@settings(max_examples=40)
def test_exchanging_recipes_or_direction_mirrors_the_comparison(values):
    zeros = [0.0] * len(values)
    forward, backward = compare_paired(values, zeros), compare_paired(zeros, values)
    assert backward == compare_paired(values, zeros, higher_is_better=False)
    assert (forward.t_p, forward.sign_flip_p) == (backward.t_p, backward.sign_flip_p)
    assert (forward.mean, forward.low, forward.high) == (-backward.mean, -backward.high, -backward.low)


@given(differences)
@settings(max_examples=40)
def test_interval_excludes_zero_exactly_when_p_is_small(values):
    comparison = against_zero(values)
    assume(abs(comparison.t_p - 0.05) > 1e-9 and comparison.std > 0)
    assert (comparison.low > 0 or comparison.high < 0) == (comparison.t_p < 0.05)


@given(p_lists)
def test_holm_is_monotone_and_between_plain_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for p, a in zip(p_values, adjusted, strict=True):
        assert p <= a <= min(1.0, len(p_values) * p)
    in_order = sorted(zip(p_values, adjusted, strict=True))
    assert all(first[1] <= second[1] for first, second in pairwise(in_order))


@given(p_lists, st.integers(0, 7))
def test_unknown_p_values_stay_and_do_not_count(p_values, place):
    place = min(place, len(p_values))
    adjusted = holm([*p_values[:place], NAN, *p_values[place:]])
    assert math.isnan(adjusted.pop(place))
    assert adjusted == holm(p_values)


def test_holm_on_a_known_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_missing_runs_take_their_pair_with_them():
    comparison = compare_paired([1.0, NAN, 3.0, 7.0], [0.0, 5.0, NAN, 4.0])
    assert comparison == compare_paired([1.0, 7.0], [0.0, 4.0])
    assert comparison.count == 2
    assert spread([2.0, NAN, 4.0]).count == 2


@pytest.mark.parametrize("values", [[], [NAN], [1.0], [1.0, NAN]])
def test_too_few_pairs_decide_nothing(values):
    comparison = against_zero(values)
    assert all(math.isnan(v) for v in (comparison.std, comparison.low, comparison.t_p, comparison.sign_flip_p))
    assert math.isnan(comparison.mean) == (comparison.count == 0)


def test_differences_without_spread():
    same = compare_paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (same.mean, same.low, same.high, same.t_p, same.sign_flip_p) == (0, 0, 0, 1, 1)
    shifted = compare_paired([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (shifted.low, shifted.high, shifted.t_p, shifted.sign_flip_p) == (1, 1, 0, 0.25)


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="3 values cannot be paired with 2"):
        compare_paired([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("count", "ratio", "level"), [(5, 1.5, 0.05), (10, 0.9, 0.05), (10, 1.6, 0.05 / 12), (3, 2.0, 0.05)]
)
def test_power_is_how_often_a_difference_is_shown(count, ratio, level):
    draws = np.random.default_rng(count).normal(ratio, 1, (20_000, count))
    _, p = stats.ttest_1samp(draws, 0, axis=1)
    assert power(ratio, 1.0, count, level) == pytest.approx((p < level).mean(), abs=4 * math.sqrt(0.25 / 20_000))


def test_power_is_that_of_the_noncentral_t():
    for count, shift in ((4, 1.0), (12, 0.7), (40, -0.3)):
        critical, place = stats.t.ppf(0.975, count - 1), shift * math.sqrt(count)
        tails = stats.nct.sf(critical, count - 1, place) + stats.nct.cdf(-critical, count - 1, place)
        assert power(shift, 1.0, count) == pytest.approx(tails, rel=1e-6)
    assert power(0.0, 1.0, 10, 0.01) == pytest.approx(0.01), "of no difference it is the level"


@pytest.mark.parametrize("count", [2, 3, 5, 10, 200])
@pytest.mark.parametrize("level", [0.05, 0.05 / 12])
def test_the_detectable_difference_is_found_with_the_wanted_power(count, level):
    difference = detectable_difference(0.02, count, level)
    assert power(difference, 0.02, count, level) == pytest.approx(POWER, abs=1e-6)
    assert pairs_needed(difference * (1 + 1e-6), 0.02, level) == count


def test_pairs_needed_on_known_cases():
    # n for a paired t-test at 5 %, 80 %: G*Power's 34 pairs for half a standard deviation, 15 for .8
    assert pairs_needed(0.5, 1.0) == 34
    assert pairs_needed(-0.8, 1.0) == 15
    assert pairs_needed(0.0, 1.0) is None
    assert pairs_needed(1e-6, 1.0) is None
    assert pairs_needed(NAN, 1.0) is None
    assert math.isnan(detectable_difference(1.0, 1))
    assert math.isnan(detectable_difference(NAN, 5))
