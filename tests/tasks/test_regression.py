"""The streamed median: exact within its memory, near beyond it, the same every time."""

import pytest
import torch

from mgm.tasks.regression import channel_medians


def median(values: torch.Tensor, batches: int, limit: int) -> torch.Tensor:
    """Median of ``[B, C, H, W]`` in several batches."""
    parts = values.split(-(-len(values) // batches))
    return channel_medians(((part, part.isfinite().all(dim=1)) for part in parts), values.shape[1], limit)


@pytest.mark.parametrize("batches", [1, 3, 9])
def test_exact_within_the_limit(batches: int) -> None:
    values = torch.randn(9, 2, 4, 4)
    values[:, :, 0, 0] = float("nan")
    expected = values[:, :, 0, 1:].movedim(1, -1).reshape(-1, 2)
    expected = torch.cat((expected, values[:, :, 1:].movedim(1, -1).reshape(-1, 2))).median(dim=0).values
    torch.testing.assert_close(median(values, batches, 9 * 15), expected)


@pytest.mark.parametrize("batches", [1, 7, 60])
def test_subsample_is_the_same_however_it_is_cut(batches: int) -> None:
    values = torch.arange(60 * 16.0).view(60, 1, 4, 4)
    kept = torch.arange(0.0, 960.0, 27)  # every 3rd is 320, every 9th 107, every 27th 36: the first within 100
    torch.testing.assert_close(median(values, batches, 100), kept.median().view(1))


def test_subsample_meets_all_columns() -> None:
    # columns of very different depth: a stride of the image's width would see one of them alone
    values = torch.arange(8.0).expand(100, 1, 8, 8)
    assert 2.0 <= median(values, 10, 200).item() <= 5.0


def test_nothing_valid_is_zero() -> None:
    assert median(torch.full((2, 3, 1, 1), float("nan")), 1, 10).tolist() == [0.0, 0.0, 0.0]
    assert channel_medians([], 2).tolist() == [0.0, 0.0]
