"""Paired bootstrap over seeds and test images: how much a difference depends on the sample of both.

It complements the t-test, which considers seeds alone. With few seeds n its intervals are too narrow, by a factor of about
``sqrt((n - 1) / n)``.
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
"""Per-image sums of a run: ``images`` ``[N]`` and ``TASK.SUM`` ``[N, n]`` (`RunFolder.test_images`)."""
Metrics = Mapping[str, tuple[type[Task], str]]
"""Task -> its class and the name of one of its metrics."""


@dataclass(frozen=True)
class Resampled:
    """Bootstrap distribution of a mean difference."""

    low: float
    """Lower end of the 95 % percentile interval."""
    high: float
    """Upper end."""
    p: float
    """Two-sided p-value: twice the share of resamples on the other side of 0, at least 2 / (`REPLICATES` + 1)."""


def read_sums(run: RunFolder) -> Sums | None:
    """Read the per-image sums of a run's test set; None if the run is not finished. Raises `RunError` if the file is damaged."""
    if not run.test_images.exists():
        return None
    try:
        with np.load(run.test_images, allow_pickle=False) as file:
            sums = {name: file[name] for name in file.files}
        if any(len(values) != len(sums.get("images", ())) for values in sums.values()):
            raise ValueError("not one row per image")
    except Exception as error:  # a damaged file can fail in any way
        raise RunError(
            f"{run.test_images} is damaged ({error}); delete it to leave this run out of the bootstrap"
        ) from None
    return sums


def resampled(pairs: Sequence[tuple[Sums, Sums]], metrics: Metrics, mean: str) -> dict[str, Resampled]:
    """Bootstrap the differences between two recipes (positive is better): resample seeds, and test images for each seed.

    Both recipes of a pair are scored on the same resample of images. If all pairs have the same test set, they all share one
    resample; if each has its own split, each gets its own.

    Args:
        pairs: Sums of a recipe and of its reference, on the same images, for each seed.
        metrics: The metric of each task.
        mean: Key of the result for the mean over tasks of the relative differences.

    Returns:
        Task -> distribution, for the tasks whose metric can be computed from sums; if these are all tasks, also ``mean``.
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
        # a seed that is drawn twice gets different images each time, unless all seeds share one test set
        places = [rows if same else np.roll(rows, number) for number in range(len(pairs))]
        means = np.mean([values[drawn, place] for drawn, place in zip(seeds, places, strict=True)], axis=0)
        known = means[~np.isnan(means)]
        if len(known):
            low, high = np.quantile(known, (0.025, 0.975))
            beyond = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
            found[name] = Resampled(float(low), float(high), min(1.0, 2 * (beyond + 1) / (len(known) + 1)))
    return found


def _differences(ours: Sums, theirs: Sums, metrics: Metrics, mean: str, seed: int) -> dict[str, np.ndarray]:
    """Differences on resamples of the test images of one seed: task or ``mean`` -> ``[replicates]``."""
    scores = [_scores(sums, metrics, seed) for sums in (ours, theirs)]
    found: dict[str, np.ndarray] = {}
    gains: list[np.ndarray] = []
    for task in scores[0].keys() & scores[1].keys():
        kind, metric = metrics[task]
        direction = 1 if kind.metrics_info[metric].higher_is_better else -1
        found[task] = direction * (scores[0][task] - scores[1][task])
        gains.append(found[task] / np.abs(scores[1][task]))
    return {**found, mean: np.mean(gains, axis=0)} if len(gains) == len(metrics) else found


def _scores(sums: Sums, metrics: Metrics, seed: int) -> dict[str, np.ndarray]:
    """Metrics on resamples of the test images: task -> ``[replicates]``."""
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
