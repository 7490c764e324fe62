"""The paired bootstrap over seeds and test images."""

from typing import Any

import numpy as np
import pytest

from mgm.errors import RunError
from mgm.experiments.bootstrap import read_sums, resampled
from mgm.runs.folder import RunFolder
from mgm.tasks import TASKS

METRICS = {"depth": (TASKS["depth"], "abs_error_m")}


def sums(errors: np.ndarray, images: np.ndarray | None = None) -> dict[str, np.ndarray]:
    count = len(errors)
    named = np.arange(count) if images is None else images
    return {"images": named, "depth.absolute": errors[:, None], "depth.count": np.ones((count, 1))}


def pairs_of(rng, seeds=8, images=50, gain=0.1, by_seed=0.0, by_image=0.2, split=True):
    pairs = []
    for seed in range(seeds):
        places = np.arange(images) + (1000 * seed if split else 0)
        base = 1 + rng.normal(0, by_image, images)
        shift = gain + rng.normal(0, by_seed)
        pairs.append((sums(base - shift + rng.normal(0, by_image, images), places), sums(base, places)))
    return pairs


def found(pairs):
    return resampled(pairs, METRICS, "mean")


def test_interval_is_that_of_the_mean_over_seeds_and_images():
    rng = np.random.default_rng(0)
    one = found(pairs_of(rng, by_seed=0.05))["depth"]
    error = np.sqrt(0.05**2 / 8 + 0.2**2 / (8 * 50))
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * error, rel=0.35)
    assert one.low < 0.1 < one.high
    assert one.p < 0.01


def test_seeds_and_images_both_widen_it():
    def width(**more):
        one = found(pairs_of(np.random.default_rng(1), **more))["depth"]
        return one.high - one.low

    calm = width(by_seed=0.0, by_image=0.01)
    assert width(by_seed=0.1, by_image=0.01) > 3 * calm
    assert width(by_seed=0.0, by_image=0.2) > 3 * calm


def test_images_that_all_seeds_share_are_drawn_once_for_all():
    """So that their share of the variance does not shrink with the number of seeds."""
    rng = np.random.default_rng(2)
    errors, changes = 1 + rng.random(30), rng.normal(0.0, 0.3, 30)
    common = [(sums(errors - changes), sums(errors))] * 8
    apart = [(sums(errors - changes, np.arange(30) + 100 * s), sums(errors, np.arange(30) + 100 * s)) for s in range(8)]
    same, split = found(common)["depth"], found(apart)["depth"]
    assert same.high - same.low > 2 * (split.high - split.low)


def test_no_difference_is_no_difference_and_direction_counts():
    rng = np.random.default_rng(3)
    pairs = pairs_of(rng, gain=0.0)
    assert found(pairs)["depth"].p > 0.05
    swapped = found([(b, a) for a, b in pairs_of(np.random.default_rng(4))])
    assert swapped["depth"].high < 0
    assert swapped["mean"].high < 0


def test_the_mean_is_over_relative_gains():
    pairs = pairs_of(np.random.default_rng(5))
    both = found(pairs)
    assert both["mean"].low == pytest.approx(both["depth"].low, rel=0.1), "errors are about 1"


def test_a_task_without_sums_leaves_no_mean():
    """It would be a mean over other tasks than that of the table."""
    metrics = METRICS | {"semantic": (TASKS["semantic"], "miou")}
    assert resampled(pairs_of(np.random.default_rng(6)), metrics, "mean").keys() == {"depth"}


def test_runs_without_sums_are_skipped(tmp_path):
    assert read_sums(RunFolder(tmp_path)) is None
    np.savez(tmp_path / "test_images.npz", images=np.arange(2))
    assert read_sums(RunFolder(tmp_path)).keys() == {"images"}


@pytest.mark.parametrize("content", [b"", b"not an archive", None])
def test_damaged_sums_are_one_clear_error(tmp_path, content):
    path = tmp_path / "test_images.npz"
    if content is None:
        sums: dict[str, Any] = {"images": np.arange(3), "depth.absolute": np.ones((2, 1))}
        np.savez(path, **sums)
    else:
        path.write_bytes(content)
    with pytest.raises(RunError, match=r"test_images.npz is damaged .*; delete it"):
        read_sums(RunFolder(tmp_path))
