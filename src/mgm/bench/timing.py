"""Times that can be compared on a machine that does other things too."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Times of one of several variants that took turns."""

    seconds: float
    """Median over rounds."""
    ratio: float
    """Median over rounds of the ratio to the first variant's time in the same round."""
    spread: tuple[float, float]
    """Smallest and largest of these ratios."""
    cpu_seconds: float
    """Median of the time that all threads of the process computed: on a CPU that others use too, the surer number."""
    cpu_ratio: float
    """The same ratio of these times."""


def clock(device: torch.device) -> float:
    """Seconds, once the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Time of one call."""
    start = clock(device)
    run()
    return clock(device) - start


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    device: torch.device,
    rounds: int,
    *,
    warm_up: int = 1,
    told: Callable[[str], None] = lambda text: None,
) -> dict[str, Timing]:
    """Time variants in turn, so that whatever else the machine does meets all of them alike.

    Args:
        runs: Name -> one unit of work; the first is what the others are held against.
        device: Where they run.
        rounds: Times that each is measured; the order is turned by one from round to round.
        warm_up: Calls of each beforehand, which are not measured.
        told: Hears what comes next.
    """
    names = list(runs)
    for name in names:
        told(f"{name}: warming up")
        for _ in range(warm_up):
            runs[name]()
    wall: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            told(f"round {number + 1} of {rounds}: {name}")
            begun = time.process_time()
            wall[name].append(seconds_of(runs[name], device))
            cpu[name].append(time.process_time() - begun)
    return {name: _timing(wall[name], wall[names[0]], cpu[name], cpu[names[0]]) for name in names}


def _timing(wall: list[float], first_wall: list[float], cpu: list[float], first_cpu: list[float]) -> Timing:
    ratios = [own / first for own, first in zip(wall, first_wall, strict=True)]
    # a clock that counts in ticks may see none pass
    cpu_ratios = [own / max(first, 1e-9) for own, first in zip(cpu, first_cpu, strict=True)]
    return Timing(
        statistics.median(wall),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
        statistics.median(cpu),
        statistics.median(cpu_ratios),
    )
