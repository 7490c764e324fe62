"""Label efficiency: the share of labels with which the multi-task baseline would match MGM."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mgm.experiments.statistics import spread
from mgm.experiments.tables import Column, Table


def label_efficiency_sentences(table: Table) -> list[str]:
    """Sentences of `worth_text`, for studies with a curve over shares of labels; otherwise empty."""
    lines = {(line.setting, line.row.title): line for line in table.lines if line.count}
    by_share = {
        cell.trial.experiment.data.fraction: cell.setting for cell in table.plan.cells if cell.row.title == "MT"
    }
    shares = sorted(by_share)
    if table.plan.study.figure != "curve" or len(shares) < 2 or len(shares) < len(table.plan.settings):
        return []

    def means(title: str, column: Column) -> list[float]:
        found = [lines.get((by_share[share], title)) for share in shares]
        return [spread(line.values[column.key].values).mean if line else math.nan for line in found]

    sentences: list[str] = []
    for number, share in enumerate(shares):
        if (by_share[share], "MGM") in lines:
            equal: dict[str, float] = {}
            for task, column in table.compared.items():
                curve, value = means("MT", column), means("MGM", column)[number]
                equal[task] = equal_share(shares, curve, value, column.info.higher_is_better)
            sentences.append(worth_text(share, equal, shares))
    return sentences


def equal_share(shares: Sequence[float], values: Sequence[float], value: float, higher_is_better: bool) -> float:
    """The share of labels at which a curve reaches a value, interpolated over the logarithm of the share.

    The curve is made monotone first (running best), since noise may make a metric worse with more labels. ``shares``, to which its
    ``values`` belong, ascend in (0, 1].

    Returns:
        The share; 0 if the smallest share is already better, infinity if even the largest is worse, NaN if a value is unknown.

    Example:
        >>> round(equal_share([0.25, 0.5, 1.0], [0.8, 0.7, 0.6], 0.75, higher_is_better=False), 3)
        0.354
    """
    sign = 1 if higher_is_better else -1
    curve = np.maximum.accumulate(sign * np.asarray(values, dtype=np.float64))
    if np.isnan(curve).any() or math.isnan(value):
        return math.nan
    if sign * value < curve[0]:
        return 0.0
    if sign * value > curve[-1]:
        return math.inf
    return float(np.exp(np.interp(sign * value, curve, np.log(shares))))


def worth_text(share: float, equal: Mapping[str, float], shares: Sequence[float]) -> str:
    """A sentence: ``MGM with 25 % of the labels matches MT with 31 % (1.2 times as many) on depth, ...``.

    ``equal`` has the result of `equal_share` for each task; ``shares`` are the measured ones, ascending.
    """
    parts: list[str] = []
    for task, found in equal.items():
        if math.isnan(found):
            text = "an unknown share"
        elif found == 0:
            text = f"less than {100 * shares[0]:g} %"
        elif math.isinf(found):
            text = f"more than {100 * shares[-1]:g} %"
        else:
            text = f"{100 * found:.0f} % ({found / share:.1f} times as many)"
        parts.append(f"{text} on {task}")
    return f"MGM with {100 * share:g} % of the labels matches MT with {', '.join(parts)}."
