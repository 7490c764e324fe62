"""Resizing keeps constants, averages when shrinking, and repeats nothing."""

import pytest
import torch

from mgm.functional.resizing import enlarged_rows, resize_bilinear, window_grid


def test_same_size_is_the_same() -> None:
    values = torch.randn(2, 3, 4, 5)
    assert resize_bilinear(values, (4, 5)) is values


def test_constants_stay() -> None:
    for size in ((3, 3), (16, 9)):
        resized = resize_bilinear(torch.full((1, 2, 8, 8), 0.7, dtype=torch.bfloat16), size)
        assert resized.shape == (1, 2, *size)
        torch.testing.assert_close(resized, torch.full_like(resized, 0.6992), atol=1e-4, rtol=0)


def test_ramp_is_interpolated_between_pixel_centres() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    doubled = resize_bilinear(ramp, (8, 16))[0, 0, 0]
    torch.testing.assert_close(doubled[1:-1], (torch.arange(16.0) / 2 - 0.25)[1:-1])


def test_shrinking_averages() -> None:
    # one bright column in four, where the centres of the small pixels would miss it
    stripes = (torch.arange(16) % 4 == 0).float().expand(1, 1, 16, 16)
    shrunk = resize_bilinear(stripes, (4, 4))
    assert shrunk[..., 1:-1].min() > 0.15
    assert shrunk.mean().item() == pytest.approx(0.25, abs=0.03)


def test_rows_alone_are_those_of_the_whole() -> None:
    values = torch.randn(2, 3, 5, 4)
    whole = resize_bilinear(values, (13, 4))
    parts = [enlarged_rows(values, top, min(4, 13 - top), 13) for top in range(0, 13, 4)]
    torch.testing.assert_close(torch.cat(parts, dim=-2), whole)


def test_window_covers_what_it_says():
    half_sides = torch.tensor([[1.0, 1.0], [0.5, 0.5], [-1.0, 0.5]])
    grid = window_grid(half_sides, torch.tensor([[0.0, 0.0], [0.5, -0.5], [0.0, 0.0]]), (4, 4))
    torch.testing.assert_close(grid[0, 0, :, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    assert grid[1, ..., 0].min() == 0.125
    assert grid[1, ..., 1].max() == -0.125
    assert grid[2, 0].tolist() == [[0.75, -0.375], [0.25, -0.375], [-0.25, -0.375], [-0.75, -0.375]], (
        "mirrored, half as high"
    )
    assert window_grid(torch.ones(3, 2), torch.zeros(3, 2), (2, 4))[2, :, 1].tolist() == [[-0.25, -0.5], [-0.25, 0.5]]
