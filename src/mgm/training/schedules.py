"""Learning-rate schedules: factors of the base rate as functions of the fraction of steps done.

A factor depends only on the step number, so resumed runs continue the schedule exactly, and step t of a baseline has the same
rate as step t of any other recipe with the same budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable

START = 1 / 25
"""Factor at the start of the warm-up."""
END = 1e-3
"""Factor at the end of the one-cycle schedule."""


def constant(progress: float, warm_up: float) -> float:
    """Linear warm-up from 1/25 over the fraction ``warm_up`` of the steps, then the base rate."""
    return 1.0 if progress >= warm_up else START + (1 - START) * progress / warm_up


def linear(progress: float, warm_up: float) -> float:
    """Linear warm-up from 1/25, then linear decay to 0."""
    return constant(progress, warm_up) if progress < warm_up else (1 - progress) / max(1 - warm_up, 1e-9)


def one_cycle(progress: float, warm_up: float) -> float:
    """Cosine warm-up from 1/25, then cosine decay to 1/1000 (Smith and Topin, 2018, but with constant momentum)."""
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
"""`TrainingConfig.schedule` -> function of the fraction of steps done and the fraction of warm-up, both in [0, 1)."""
