"""Statistics of repeated runs: spread, paired comparisons, correction for several of them.

Runs of two recipes with the same seed share their split, batches and initial weights, so they are compared in pairs: what
a seed does to both cancels. A missing run is NaN and takes its pair with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EXACT_PAIRS = 15
"""With up to so many pairs the sign-flip test counts all choices of signs; with more it draws `FLIPS` of them."""
FLIPS = 2**EXACT_PAIRS


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
