"""Statistics of repeated runs: spread, paired comparisons, correction for several of them.

Runs of two recipes with the same seed share their split, batches and initial weights, so they are compared in pairs: what
a seed does to both cancels. A missing run is NaN and takes its pair with it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import optimize, stats

EXACT_PAIRS = 15
"""With up to so many pairs the sign-flip test counts all choices of signs; with more it draws `FLIPS` of them."""
FLIPS = 2**EXACT_PAIRS
LEVEL = 0.05
"""Of significance."""
POWER = 0.8
"""Chance to show a difference that is there, for which experiments are planned."""
MOST_PAIRS = 10_000


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (with ``n - 1``; NaN for one value) and number of the values that are known."""

    mean: float
    std: float
    count: int


@dataclass(frozen=True)
class PairedComparison:
    """Differences between paired runs, oriented so that positive is better.

    Attributes:
        count: Pairs.
        mean: Mean difference, in the metric's unit.
        std: Its standard deviation over pairs.
        low: Lower end of the confidence interval of the mean.
        high: Upper end.
        t_p: Two-sided p-value of the paired t-test.
        sign_flip_p: Two-sided p-value of the sign-flip permutation test, which assumes only that differences are symmetric
            about 0.
    """

    count: int
    mean: float
    std: float
    low: float
    high: float
    t_p: float
    sign_flip_p: float


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of the known values.

    Example:
        >>> spread([1.0, 3.0, float("nan")])
        Spread(mean=2.0, std=1.4142135623730951, count=2)
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    mean = float(known.mean()) if len(known) else math.nan
    return Spread(mean, float(known.std(ddof=1)) if len(known) > 1 else math.nan, len(known))


def compare_paired(
    values: Sequence[float], reference: Sequence[float], *, higher_is_better: bool = True, level: float = 0.95
) -> PairedComparison:
    """Compare two recipes over the seeds that both have.

    With fewer than two pairs the interval and both p-values are NaN. Differences without any spread have a point as
    interval, and 0 as p-value of the t-test (1 if they are zero).

    Args:
        values: One value per seed; NaN: unknown.
        reference: The same seeds in the same order.
        higher_is_better: Whether a larger value is an improvement.
        level: Confidence of the interval (Student's t).

    Raises:
        ValueError: If the two are not equally long.
    """
    if len(values) != len(reference):
        raise ValueError(f"{len(values)} values cannot be paired with {len(reference)}")
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    differences = differences[~np.isnan(differences)] * (1 if higher_is_better else -1)
    found = spread(differences.tolist())
    if found.count < 2:
        return PairedComparison(found.count, found.mean, math.nan, math.nan, math.nan, math.nan, math.nan)
    error, degrees = found.std / math.sqrt(found.count), found.count - 1
    margin = float(stats.t.ppf(0.5 + level / 2, degrees)) * error
    statistic = found.mean / error if error else math.inf if found.mean else 0.0
    flips = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=FLIPS, rng=0)
    return PairedComparison(
        found.count,
        found.mean,
        found.std,
        found.mean - margin,
        found.mean + margin,
        2 * float(stats.t.sf(abs(statistic), degrees)),
        float(flips.pvalue),
    )


def power(difference: float, std: float, count: int, level: float = LEVEL) -> float:
    """Chance that a two-sided paired t-test shows a difference: Student's t of ``count`` pairs around it (noncentral t).

    Args:
        difference: The true mean difference.
        std: Standard deviation of the differences over pairs, above 0.
        count: Pairs, at least 2.
        level: Of significance; for the smallest of m tests in Holm's correction 1 / m of the level of all.
    """
    critical = stats.t.isf(level / 2, count - 1)
    shift = max(count * (difference / std) ** 2, 1e-12)  # at 0 scipy's tail is wrong
    # the square of a noncentral t is a noncentral F
    return float(stats.ncf.sf(critical**2, 1, count - 1, shift))


def detectable_difference(std: float, count: int, level: float = LEVEL) -> float:
    """The least difference that `POWER` finds with so many pairs, NaN where they are too few to say; arguments: see `power`."""
    if count < 2 or not std > 0:
        return math.nan
    most = 10 * (stats.t.isf(level / 2, count - 1) + 3) / math.sqrt(count)

    def missing(ratio: float) -> float:
        return power(ratio, 1.0, count, level) - POWER

    return std * cast(float, optimize.brentq(missing, 0.0, most))


def pairs_needed(difference: float, std: float, level: float = LEVEL) -> int | None:
    """The least number of pairs with which `POWER` finds a difference; None: more than `MOST_PAIRS`, or unknown."""
    if not (std > 0 and abs(difference) > 0) or power(difference, std, MOST_PAIRS, level) < POWER:
        return None
    return bisect_left(range(MOST_PAIRS), POWER, lo=2, key=lambda count: power(difference, std, count, level))


def least_sign_flip_p(count: int) -> float:
    """The smallest p-value that the sign-flip test can give: with 5 pairs 0.0625, so never below 0.05."""
    return 2.0 ** (1 - count) if count <= EXACT_PAIRS else 2 / (1 + FLIPS)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for multiple tests (Holm, 1979): the chance of any false discovery stays below the level.

    The i-th smallest of m is multiplied by ``m - i + 1``, and none comes before a smaller one. NaN stays, and does not count.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(order), 0, -1) * p[order]))
    return adjusted.tolist()
