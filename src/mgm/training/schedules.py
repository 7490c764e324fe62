"""Learning rates over a training: factors of the base rate as functions of the share of steps that is done.

A factor depends on the step number alone, so a resumed run repeats it, and step t of a baseline has the rate of step t of any
other recipe with the same budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable

START = 1 / 25
"""Factor at the beginning of a warm-up."""
END = 1e-3
"""Factor at the end of a one-cycle schedule."""


def constant(progress: float, warm_up: float) -> float:
    """The base rate, after a linear rise from 1/25 over the share ``warm_up`` of the steps."""
    return 1.0 if progress >= warm_up else START + (1 - START) * progress / warm_up


def linear(progress: float, warm_up: float) -> float:
    """A linear fall to 0, after a linear rise from 1/25."""
    return constant(progress, warm_up) if progress < warm_up else (1 - progress) / max(1 - warm_up, 1e-9)


def one_cycle(progress: float, warm_up: float) -> float:
    """Half a cosine up from 1/25, half a cosine down to 1/1000 (Smith and Topin, 2018; momentum stays)."""
    if progress < warm_up:
        return _between(START, 1.0, progress / warm_up)
    return _between(1.0, END, (progress - warm_up) / max(1 - warm_up, 1e-9))


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * (1 - math.cos(math.pi * min(share, 1.0))) / 2


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "constant": constant,
    "one_cycle": one_cycle,
    "linear": linear,
}
"""`TrainingConfig.schedule` -> factor from the share of steps done, in [0, 1), and the share that is warm-up, in [0, 1)."""
