"""How far a difference depends on which test images and which seeds happened to be drawn: a paired bootstrap over both.

It stands beside the t-test, which sees seeds alone. With few seeds its intervals are too narrow (by about ``sqrt((n - 1) / n)``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mgm.errors import RunError
from mgm.runs.folder import RunFolder
from mgm.tasks.base import Task

REPLICATES = 2000
WEIGHTS_AT_ONCE = 2_000_000
Sums = Mapping[str, np.ndarray]
"""``images`` ``[N]``, and ``TASK.SUM`` ``[N, n]`` (`RunFolder.test_images`)."""
Metrics = Mapping[str, tuple[type[Task], str]]
"""Task -> what it is, and one of its metrics."""


@dataclass(frozen=True)
class Resampled:
    """A mean difference over resamples."""

    low: float
    """Lower end of the 95 % interval (percentiles)."""
    high: float
    p: float
    """Two-sided: twice the share of resamples on the other side of 0, at least 2 / (`REPLICATES` + 1)."""


def read_sums(run: RunFolder) -> Sums | None:
    """The sums of a run's test images; None if it has none (a run that is not finished, or of an earlier version).

    Raises:
        RunError: If the file is damaged.
    """
    if not run.test_images.exists():
        return None
    try:
        with np.load(run.test_images, allow_pickle=False) as file:
            sums = {name: file[name] for name in file.files}
    except Exception as error:  # a damaged file can fail in any way
        raise RunError(
            f"{run.test_images} is damaged ({error}); delete it, and the bootstrap leaves this run out"
        ) from None
    if any(len(values) != len(sums.get("images", ())) for values in sums.values()):
        raise RunError(
            f"{run.test_images} is damaged (no row per image); delete it, and the bootstrap leaves this run out"
        )
    return sums


def resampled(pairs: Sequence[tuple[Sums, Sums]], metrics: Metrics, mean: str) -> dict[str, Resampled]:
    """Differences of two recipes, positive is better, when seeds are drawn anew, and for each of them test images.

    Both recipes of a pair are scored on the same resample. Where all pairs have the same test set, all are scored on the same
    resample; where each has its own split, each on a resample of its own.

    Args:
        pairs: Sums of a recipe and its reference by seed, on the same images.
        metrics: The metric of each task.
        mean: Name under which the mean over tasks of the relative differences is returned.

    Returns:
        Task or ``mean`` -> the difference, for the tasks whose metric can be made from sums.
    """
    random = np.random.default_rng(0)
    same = all(np.array_equal(pairs[0][0]["images"], ours["images"]) for ours, _ in pairs)
    images = [int(seed) for seed in random.integers(2**32, size=len(pairs))]
    by_seed = [
        _differences(ours, theirs, metrics, mean, images[0] if same else own)
        for (ours, theirs), own in zip(pairs, images, strict=True)
    ]
    rows = np.arange(REPLICATES)
    seeds = random.integers(len(pairs), size=(len(pairs), REPLICATES))
    found: dict[str, Resampled] = {}
    for name in by_seed[0]:
        values = np.stack([differences[name] for differences in by_seed])  # [seeds, replicates]
        # a seed that is drawn twice gets other images each time, unless all have the same
        places = [rows if same else np.roll(rows, number) for number in range(len(pairs))]
        means = np.mean([values[drawn, place] for drawn, place in zip(seeds, places, strict=True)], axis=0)
        known = means[~np.isnan(means)]
        if len(known):
            low, high = np.quantile(known, (0.025, 0.975))
            beyond = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
            found[name] = Resampled(float(low), float(high), min(1.0, 2 * (beyond + 1) / (len(known) + 1)))
    return found


def _differences(ours: Sums, theirs: Sums, metrics: Metrics, mean: str, seed: int) -> dict[str, np.ndarray]:
    """Task or ``mean`` -> ``[replicates]`` on resamples of the images of one seed."""
    scores = [_scores(sums, metrics, seed) for sums in (ours, theirs)]
    found: dict[str, np.ndarray] = {}
    gains: list[np.ndarray] = []
    for task in scores[0].keys() & scores[1].keys():
        kind, metric = metrics[task]
        direction = 1 if kind.metrics_info[metric].higher_is_better else -1
        found[task] = direction * (scores[0][task] - scores[1][task])
        gains.append(found[task] / np.abs(scores[1][task]))
    return {**found, mean: np.mean(gains, axis=0)} if gains else {}


def _scores(sums: Sums, metrics: Metrics, seed: int) -> dict[str, np.ndarray]:
    """Task -> ``[replicates]``: its metric on resamples of the images."""
    random, count = np.random.default_rng(seed), len(sums["images"])
    block = max(1, WEIGHTS_AT_ONCE // count)
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, REPLICATES, block):
        size = min(block, REPLICATES - start)
        weights = random.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        for task, (kind, metric) in metrics.items():
            own = {key.partition(".")[2]: weights @ sums[key] for key in sums if key.startswith(f"{task}.")}
            made = type(kind(("any",)).metrics()).from_sums(own) if own else {}
            if metric in made:
                parts.setdefault(task, []).append(made[metric])
    return {task: np.concatenate(found) for task, found in parts.items()}
