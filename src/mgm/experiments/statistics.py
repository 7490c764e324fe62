"""Statistics of repeated runs: mean and standard deviation, paired tests, power, correction for multiple tests.

Runs of two recipes with the same seed share their split, batches and initial weights. They are therefore compared in pairs,
which removes the common effect of the seed. A missing run is NaN, and its pair is left out.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy import optimize, stats

if TYPE_CHECKING:
    from mgm.tasks.base import MetricInfo

EXACT_PAIRS = 15
"""Up to this number of pairs the sign-flip test is exact; with more, it samples `FLIPS` sign patterns."""
FLIPS = 2**EXACT_PAIRS
LEVEL = 0.05
"""Significance level."""
POWER = 0.8
"""Probability of detecting a true difference, for planning experiments."""
MOST_PAIRS = 10_000


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (``n - 1``; NaN for a single value) and count of the known values."""

    mean: float
    std: float
    count: int

    def text(self, info: MetricInfo) -> str:
        """Mean ± standard deviation, without the latter for a single value; a dash if no value is known."""
        return info.number(self.mean) + ("" if math.isnan(self.std) else f" ± {info.number(self.std)}")


@dataclass(frozen=True)
class PairedComparison:
    """Differences between paired runs, oriented so that positive is better.

    Attributes:
        count: Number of pairs.
        mean: Mean difference, in the metric's unit.
        std: Standard deviation of the differences over pairs.
        low: Lower end of the 95 % confidence interval of the mean (Student's t).
        high: Upper end.
        t_p: Two-sided p-value of the paired t-test.
        sign_flip_p: Two-sided p-value of the sign-flip permutation test, which assumes only that the differences are
            distributed symmetrically about 0.
    """

    count: int
    mean: float
    std: float
    low: float
    high: float
    t_p: float
    sign_flip_p: float


def spread(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and count of the values that are not NaN.

    Example:
        >>> spread([1.0, 3.0, float("nan")])
        Spread(mean=2.0, std=1.4142135623730951, count=2)
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    mean = float(known.mean()) if len(known) else math.nan
    return Spread(mean, float(known.std(ddof=1)) if len(known) > 1 else math.nan, len(known))


def compare_paired(
    values: Sequence[float], reference: Sequence[float], *, higher_is_better: bool = True
) -> PairedComparison:
    """Compare two recipes over the seeds that both have.

    With fewer than two pairs, the standard deviation, the interval and both p-values are NaN. If all differences are equal,
    the interval is a point and the p-value of the t-test is 0 (1 if the differences are zero).

    Args:
        values: One value per seed; NaN: unknown.
        reference: Values of the reference for the same seeds, in the same order.
        higher_is_better: Whether a larger value is an improvement.

    Raises:
        ValueError: If the two differ in length.
    """
    if len(values) != len(reference):
        raise ValueError(f"{len(values)} values cannot be paired with {len(reference)}")
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    differences = differences[~np.isnan(differences)] * (1 if higher_is_better else -1)
    found = spread(differences.tolist())
    if found.count < 2:
        return PairedComparison(found.count, found.mean, math.nan, math.nan, math.nan, math.nan, math.nan)
    error, degrees = found.std / math.sqrt(found.count), found.count - 1
    margin = float(stats.t.ppf(1 - LEVEL / 2, degrees)) * error
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
    """Power of the two-sided paired t-test, from the noncentral t distribution.

    Args:
        difference: The true mean difference.
        std: Standard deviation of the differences over pairs, above 0.
        count: Number of pairs, at least 2.
        level: Significance level; for the first step of Holm's correction over m tests, the overall level divided by m.
    """
    critical = stats.t.isf(level / 2, count - 1)
    shift = max(count * (difference / std) ** 2, 1e-12)  # scipy's tail is wrong at exactly 0
    # the square of a noncentral t is a noncentral F
    return float(stats.ncf.sf(critical**2, 1, count - 1, shift))


def detectable_difference(std: float, count: int, level: float = LEVEL) -> float:
    """Smallest difference detected with probability `POWER`; NaN with fewer than 2 pairs. Arguments as for `power`."""
    if count < 2 or not std > 0:
        return math.nan
    most = 10 * (stats.t.isf(level / 2, count - 1) + 3) / math.sqrt(count)

    def missing(ratio: float) -> float:
        return power(ratio, 1.0, count, level) - POWER

    return std * cast(float, optimize.brentq(missing, 0.0, most))


def pairs_needed(difference: float, std: float, level: float = LEVEL) -> int | None:
    """Smallest number of pairs that detects a difference with probability `POWER`; None: over `MOST_PAIRS`, or unknown."""
    if not (std > 0 and abs(difference) > 0) or power(difference, std, MOST_PAIRS, level) < POWER:
        return None
    return bisect_left(range(MOST_PAIRS), POWER, lo=2, key=lambda count: power(difference, std, count, level))


def least_sign_flip_p(count: int) -> float:
    """Smallest possible p-value of the sign-flip test: 0.0625 for 5 pairs, so never below 0.05."""
    return 2.0 ** (1 - count) if count <= EXACT_PAIRS else 2 / (1 + FLIPS)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple tests (Holm, 1979), which controls the family-wise error rate.

    The i-th smallest of m p-values is multiplied by ``m - i + 1``; a running maximum keeps their order. NaN stays NaN and does
    not count.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    adjusted = np.full(len(p), math.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(order), 0, -1) * p[order]))
    return adjusted.tolist()
