"""Against scipy on known cases, by properties, and by how often they are wrong when there is nothing to find."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mgm.experiments.statistics import (
    EXACT_PAIRS,
    compare_paired,
    delta_m,
    holm,
    least_sign_flip_p,
    sign_flip_p,
    spread,
    student_p,
    student_quantile,
)

NAN = float("nan")
differences = st.lists(st.integers(-1000, 1000).map(float), min_size=2, max_size=8)
p_lists = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def samples(count, seed=0, shift=0.3):
    random = np.random.default_rng(seed)
    return random.normal(shift, 1, count), random.normal(0, 1, count)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 30, 200, 10_000])
def test_student_agrees_with_scipy(degrees):
    for t in (0.0, 0.01, 0.3, 1.0, 1.7, 2.5, 4.0, 12.0, 100.0, 1e5):
        assert student_p(t, degrees) == pytest.approx(2 * stats.t.sf(t, degrees), rel=1e-9, abs=1e-300)
        assert student_p(-t, degrees) == student_p(t, degrees)
    for level in (0.5, 0.9, 0.95, 0.99, 0.999):
        assert student_quantile(level, degrees) == pytest.approx(stats.t.ppf(0.5 + level / 2, degrees), rel=1e-9)
    assert student_p(math.inf, degrees) == 0.0


@pytest.mark.parametrize("count", [2, 3, 5, 12, 40])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_paired_comparison_agrees_with_scipy(count, level):
    values, reference = samples(count, seed=count)
    ours = compare_paired(values.tolist(), reference.tolist(), level=level)
    theirs = stats.ttest_rel(values, reference)
    interval = theirs.confidence_interval(level)
    assert ours.count == count
    assert ours.t_p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (ours.mean, ours.std) == pytest.approx(((values - reference).mean(), (values - reference).std(ddof=1)))


@pytest.mark.parametrize("count", [2, 5, 9])
def test_exact_sign_flips_agree_with_scipy(count):
    values, reference = samples(count, seed=count)
    theirs = stats.permutation_test(
        (values - reference,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert sign_flip_p(values - reference) == pytest.approx(theirs.pvalue)


def test_sign_flips_by_hand():
    assert sign_flip_p([1.0, 2.0, 3.0]) == 2 / 8
    assert sign_flip_p([1.0, 2.0, -3.0]) == 1.0
    assert sign_flip_p([1.0, -2.0, 5.0]) == 6 / 8  # of 2, 4, 6 and 8 all but 2 reach 4
    assert sign_flip_p([0.1 + 0.2, -0.3, 1.0]) == 6 / 8, "sums that differ in rounding alone are equal"
    assert math.isnan(sign_flip_p([]))


def test_sampled_flips_agree_with_exact_ones(monkeypatch):
    values, reference = samples(12, seed=3)
    exact = sign_flip_p(values - reference)
    monkeypatch.setattr("mgm.experiments.statistics.EXACT_PAIRS", 11)
    sampled = sign_flip_p(values - reference)
    assert sampled == sign_flip_p(values - reference)
    assert sampled != exact
    assert sampled == pytest.approx(exact, abs=0.015)


@pytest.mark.parametrize("count", [1, 2, 5, EXACT_PAIRS, EXACT_PAIRS + 15])
def test_least_p_of_sign_flips_is_reached(count):
    assert sign_flip_p([1.0] * count) == pytest.approx(least_sign_flip_p(count))


def test_p_is_below_a_twentieth_in_a_twentieth_of_cases_under_the_null():
    random = np.random.default_rng(1)
    trials = 2000
    comparisons = [
        compare_paired(random.normal(size=8).tolist(), random.normal(size=8).tolist()) for _ in range(trials)
    ]
    margin = 4 * math.sqrt(0.05 * 0.95 / trials)  # four standard errors
    for values in ([c.t_p for c in comparisons], [c.sign_flip_p for c in comparisons]):
        assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=margin)
    misses = np.mean([not c.low < 0 < c.high for c in comparisons])
    assert misses == pytest.approx(0.05, abs=margin)


def test_sign_flips_hold_their_level_for_skewed_pairs_of_one_distribution():
    """Differences of two draws from one distribution are symmetric, however skewed it is."""
    random = np.random.default_rng(2)
    values = [sign_flip_p(random.exponential(size=7) - random.exponential(size=7)) for _ in range(2000)]
    assert np.mean(np.array(values) <= 0.05) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 2000)


def test_holm_holds_the_chance_of_any_false_discovery():
    random = np.random.default_rng(3)
    any_wrong = [min(holm(random.random(6).tolist())) < 0.05 for _ in range(4000)]
    assert np.mean(any_wrong) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_a_real_difference_is_found():
    values, reference = samples(20, shift=2.0)
    found = compare_paired(values.tolist(), reference.tolist())
    assert found.t_p < 0.001
    assert found.sign_flip_p < 0.001
    assert 0 < found.low < 2.0 < found.high


@given(differences)
def test_sign_symmetry(values):
    """Exchanging the recipes, or the direction of the measure, mirrors the comparison."""
    zeros = [0.0] * len(values)
    forward, backward = compare_paired(values, zeros), compare_paired(zeros, values)
    lower = compare_paired(values, zeros, higher_is_better=False)
    assert backward == lower
    assert (forward.t_p, forward.sign_flip_p) == (backward.t_p, backward.sign_flip_p)
    assert (forward.mean, forward.low, forward.high) == (-backward.mean, -backward.high, -backward.low)


@given(differences, st.floats(0.01, 100))
def test_scale_invariance(values, scale):
    assume(len(set(values)) > 1)
    zeros = [0.0] * len(values)
    plain, scaled = compare_paired(values, zeros), compare_paired([value * scale for value in values], zeros)
    assert scaled.t_p == pytest.approx(plain.t_p, rel=1e-6, abs=1e-12)
    assert scaled.sign_flip_p == plain.sign_flip_p
    assert scaled.low == pytest.approx(scale * plain.low, rel=1e-6, abs=1e-9)


@given(differences)
def test_interval_excludes_zero_exactly_when_p_is_small(values):
    comparison = compare_paired(values, [0.0] * len(values))
    assume(abs(comparison.t_p - 0.05) > 1e-9 and comparison.std > 0)
    assert (comparison.low > 0 or comparison.high < 0) == (comparison.t_p < 0.05)


@given(differences)
def test_order_of_seeds_does_not_matter(values):
    zeros = [0.0] * len(values)
    assert sign_flip_p(values) == sign_flip_p(values[::-1])
    assert compare_paired(values, zeros).t_p == pytest.approx(compare_paired(values[::-1], zeros).t_p, rel=1e-9)


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


def test_missing_runs_take_their_pair_with_them():
    comparison = compare_paired([1.0, NAN, 3.0, 7.0], [0.0, 5.0, NAN, 4.0])
    assert comparison == compare_paired([1.0, 7.0], [0.0, 4.0])
    assert comparison.count == 2
    assert spread([2.0, NAN, 4.0]).count == 2


@pytest.mark.parametrize("values", [[], [NAN], [1.0], [1.0, NAN]])
def test_too_few_pairs_decide_nothing(values):
    comparison = compare_paired(values, [0.0] * len(values))
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


def test_delta_m_on_the_papers_table():
    """Table 2 at 25 %, MGM against ST: mIoU up, depth and normal errors down."""
    higher = {"semantic": True, "depth": False, "normal": False}
    single = {"semantic": 0.199, "depth": 0.908, "normal": 0.312}
    ours = {"semantic": 0.229, "depth": 0.844, "normal": 0.277}
    expected = (0.030 / 0.199 + 0.064 / 0.908 + 0.035 / 0.312) / 3
    assert delta_m(ours, single, higher) == pytest.approx(expected)
    assert delta_m(single, single, higher) == 0.0
    assert math.isnan(delta_m({**ours, "depth": NAN}, single, higher))
    assert math.isnan(delta_m(ours, {**single, "semantic": 0.0}, higher))
