"""Half precision is lifted, double precision is kept."""

import pytest
import torch

from mgm.functional.precision import at_least_float32, widest_float


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_at_least_float32(before: torch.dtype, after: torch.dtype) -> None:
    assert at_least_float32(torch.zeros(1, dtype=before)).dtype == after


def test_widest_float() -> None:
    assert widest_float("cpu") == torch.float64
    assert widest_float(torch.device("mps")) == torch.float32
