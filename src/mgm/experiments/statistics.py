"""Statistics of repeated runs: spread, paired comparisons, correction for several of them. Plain numbers, no torch.

Runs of two recipes with the same seed share their split, batches and initial weights, so they are compared in pairs: what
a seed does to both cancels. A missing run is NaN and takes its pair with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

EXACT_PAIRS = 15
"""Up to so many pairs every flip of signs is counted; beyond, `RANDOM_FLIPS` are drawn."""
RANDOM_FLIPS = 20_000


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
        mean: Mean difference, in the measure's unit.
        std: Its standard deviation over pairs.
        low: Lower end of the confidence interval of the mean.
        high: Upper end.
        t_p: Two-sided p-value of the paired t-test.
        sign_flip_p: Two-sided p-value of the sign-flip permutation test.
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

    The interval is ``mean ± t_{level, n-1} s / √n`` (Student, 1908). With fewer than two pairs it, and both p-values, are
    NaN. Differences without any spread have a point as interval, and 0 as p-value of the t-test (1 if they are zero).

    Args:
        values: One value per seed; NaN: unknown.
        reference: The same seeds in the same order.
        higher_is_better: Whether a larger value is an improvement.
        level: Confidence of the interval.

    Raises:
        ValueError: If the two are not equally long.
    """
    if len(values) != len(reference):
        raise ValueError(f"{len(values)} values cannot be paired with {len(reference)}")
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    differences = differences[~np.isnan(differences)]
    if not higher_is_better:
        differences = -differences
    summary = spread(differences.tolist())
    if summary.count < 2:
        return PairedComparison(summary.count, summary.mean, math.nan, math.nan, math.nan, math.nan, math.nan)
    error = summary.std / math.sqrt(summary.count)
    margin = student_quantile(level, summary.count - 1) * error
    statistic = summary.mean / error if error else math.copysign(math.inf, summary.mean) if summary.mean else 0.0
    return PairedComparison(
        summary.count,
        summary.mean,
        summary.std,
        summary.mean - margin,
        summary.mean + margin,
        student_p(statistic, summary.count - 1),
        sign_flip_p(differences),
    )


def student_p(statistic: float, degrees: int) -> float:
    """Two-sided p-value of Student's t: ``I_x(ν/2, 1/2)`` with ``x = ν / (ν + t²)`` (Abramowitz & Stegun, 26.5.27).

    Args:
        statistic: t, also infinite.
        degrees: Degrees of freedom ``ν``, at least 1.
    """
    if math.isinf(statistic):
        return 0.0
    # both shares of ν + t² are computed on their own, so that neither is lost in 1 minus the other
    square = statistic * statistic
    return _incomplete_beta(degrees / (degrees + square), square / (degrees + square), degrees / 2, 0.5)


@lru_cache(maxsize=256)
def student_quantile(level: float, degrees: int) -> float:
    """The t that ``|T|`` stays below with probability ``level``, by bisection."""
    low, high = 0.0, 1.0
    while student_p(high, degrees) > 1 - level:
        low, high = high, high * 2
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if student_p(middle, degrees) > 1 - level else (low, middle)


def _incomplete_beta(x: float, complement: float, a: float, b: float) -> float:
    """Regularised incomplete beta function ``I_x(a, b)``; ``complement`` is ``1 - x``, given apart for precision."""
    if x <= 0.0 or complement <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image converges fast
        return 1.0 - _incomplete_beta(complement, x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(complement)
    return math.exp(log_front) / (a * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """``1 + d1/(1 + d2/(1 + ...))`` (Abramowitz & Stegun, 26.5.8), from the front by Lentz's method."""
    value, numerator, denominator = 1.0, 1.0, 0.0
    for term in range(1, 1000):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / (1 + d * denominator)
        numerator = 1 + d / numerator
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-15:
            break
    return value


def sign_flip_p(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of the sign-flip permutation test: assumes only that differences are symmetric about 0.

    The share of all ``2^n`` choices of signs under which the mean is at least as far from 0 as it is. Beyond `EXACT_PAIRS`
    pairs a fixed sample of them, with the observed one counted in, so that it stays valid (Phipson & Smyth, 2010).

    Args:
        differences: One per pair, no NaN.

    Returns:
        At least `least_sign_flip_p`; NaN without differences.
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    if not count:
        return math.nan
    observed = abs(values.sum()) * (1 - 1e-9)  # equal sums may differ in rounding
    if count <= EXACT_PAIRS:
        # flipping all signs changes nothing in a two-sided test, so the first keeps its own
        bits = (np.arange(2 ** (count - 1))[:, None] >> np.arange(count)) & 1
        return float((np.abs((1 - 2 * bits) @ values) >= observed).mean())
    signs = np.random.default_rng(0).integers(0, 2, (RANDOM_FLIPS, count)) * 2 - 1
    return float((1 + (np.abs(signs @ values) >= observed).sum()) / (1 + RANDOM_FLIPS))


def least_sign_flip_p(count: int) -> float:
    """The smallest p-value that the sign-flip test can give: with 5 pairs 0.0625, so never below 0.05."""
    return 2.0 ** (1 - count) if count <= EXACT_PAIRS else 1 / (1 + RANDOM_FLIPS)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several (Holm, 1979): the chance of any false discovery stays below the level.

    The i-th smallest of m is multiplied by ``m - i + 1``, and none comes before a smaller one. NaN stays, and does not count.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [math.nan] * len(p_values)
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def delta_m(scores: Mapping[str, float], reference: Mapping[str, float], higher_is_better: Mapping[str, bool]) -> float:
    """Mean relative improvement over tasks: ``1/T Σ_t ± (M_t - B_t) / B_t``, + where higher is better (Maninis et al., 2019).

    Args:
        scores: Task -> value of its primary metric.
        reference: The same of the model to compare with.
        higher_is_better: The same tasks; all of them count.

    Returns:
        A fraction, positive is better. NaN if a value is unknown or a reference is 0: a mean over other tasks could not
        be compared.
    """
    gains = [
        (1 if higher else -1) * (scores[task] - reference[task]) / abs(reference[task]) if reference[task] else math.nan
        for task, higher in higher_is_better.items()
    ]
    return sum(gains) / len(gains)
