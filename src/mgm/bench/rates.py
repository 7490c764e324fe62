"""How much of the arithmetic that a machine can do the generator and the discriminator get out of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mgm.bench.counting import flop_counter
from mgm.bench.timing import seconds_of
from mgm.training.layout import arrange
from mgm.types import Batch

SIDES = {"cuda": 8192}
"""Type of device -> side of the square matrices whose product is the measure; large enough to be limited by arithmetic."""
USUAL_SIDE = 1024
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether matrix products and convolutions of float32 may be computed in TF32 on NVIDIA GPUs; elsewhere no difference.

    Torch allows it for convolutions unless told otherwise.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def rate_rows(
    networks: Mapping[str, nn.Module], batch: Batch, device: torch.device, rounds: int, told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Arithmetic per second of a matrix product, and of G and D forward and backward, in either precision.

    Args:
        networks: With generator and discriminator.
        batch: A batch of the step; D sees it twice, as real and synthesized images.
        device: Where they are.
        rounds: Times that each is measured.
        told: Hears what is measured.

    Returns:
        A row per precision and computation: ``flop_per_second``, and its share of the matrix product's.
    """
    rows: list[dict[str, Any]] = []
    for precision, dtype in PRECISIONS.items():
        told(f"matrix product in {precision}")
        with tf32(False):
            best = matrix_rate(device, dtype, rounds)
            rows.append({"what": "matrix product", "precision": precision, "flop_per_second": best, "share": 1.0})
            for name, run in _passes(networks, batch, device, dtype):
                told(f"{name} in {precision}")
                rate = _rate(run, device, rounds)
                rows.append({"what": name, "precision": precision, "flop_per_second": rate, "share": rate / best})
    return rows


def matrix_rate(device: torch.device, dtype: torch.dtype, rounds: int) -> float:
    """Floating point operations per second of a large product of square matrices: the median of some."""
    side = SIDES.get(device.type, USUAL_SIDE)
    left, right = torch.randn(2, side, side, device=device, dtype=dtype)
    return _rate(lambda: left @ right, device, rounds)


def _rate(run: Callable[[], object], device: torch.device, rounds: int) -> float:
    with flop_counter() as counter:
        run()  # the warm-up too
    return counter.get_total_flops() / float(np.median([seconds_of(run, device) for _ in range(rounds)]))


def _passes(
    networks: Mapping[str, nn.Module], batch: Batch, device: torch.device, dtype: torch.dtype
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name and computation: forward, and backward to all weights, as G and D learn; on a GPU in either order of memory."""
    latent_size = networks["generator"].latent_size
    assert isinstance(latent_size, int)
    latent = torch.randn(len(batch), latent_size, device=device)
    images, labels = torch.randn_like(batch.images.repeat(2, 1, 1, 1)), batch.scene.repeat(2, 1)
    inputs: dict[str, tuple[Tensor, Tensor]] = {
        "generator": (latent, batch.scene),
        "discriminator": (images, labels),
    }
    for name, given in inputs.items():
        for layout in (torch.contiguous_format, torch.channels_last)[: 2 if device.type == "cuda" else 1]:
            network = copy.deepcopy(networks[name]).requires_grad_(True)
            arrange(network, layout)

            def run(network: nn.Module = network, given: tuple[Tensor, Tensor] = given) -> None:
                network.zero_grad(set_to_none=True)
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    result = network(*given)
                result.float().sum().backward()

            yield (name if layout == torch.contiguous_format else f"{name}, channels last"), run
