"""Single layers of G and D with and without their identity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mgm.bench.timing import interleaved
from mgm.method.networks import Networks
from mgm.networks.generators import Generator
from mgm.networks.generators.resampling import Resampling
from mgm.types import Batch


def layer_rows(
    networks: Networks, batch: Batch, device: torch.device, rounds: int, told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Time every layer that has an identity on inputs of the shapes that a step gives it.

    Args:
        networks: With generator and discriminator.
        batch: A batch of the step.
        device: Where they are.
        rounds: Times that each form is measured.
        told: Hears which layer is measured.

    Returns:
        A row per layer: network, layer, input shape, seconds of the plain form and by identity, their ratio, and that of
        the processor's time.
    """
    rows = []
    for (network, name, layer), shape in _input_shapes(networks, batch, device).items():
        images = torch.randn(shape, device=device, requires_grad=True)
        runs = {setting: _pass(layer, images, setting) for setting in ("off", "on")}
        timings = interleaved(runs, device, rounds, told=lambda text, name=name: told(f"{name}, {text}"))
        layer.identities = "auto"
        rows.append(
            {
                "network": network,
                "layer": name,
                "shape": "x".join(map(str, shape)),
                "plain_seconds": timings["off"].seconds,
                "identity_seconds": timings["on"].seconds,
                "ratio": timings["on"].ratio,
                "cpu_ratio": timings["on"].cpu_ratio,
            }
        )
    return rows


def _pass(layer: Resampling, images: Tensor, setting: str) -> Callable[[], None]:
    """Forward and backward through a layer."""

    def run() -> None:
        layer.identities = setting
        layer(images).sum().backward()

    return run


def _input_shapes(
    networks: Networks, batch: Batch, device: torch.device
) -> dict[tuple[str, str, Resampling], torch.Size]:
    """(Network, name, layer) -> shape of what it reads: G makes a batch, D sees the real and the fake half."""
    generator, discriminator = networks["generator"], networks["discriminator"]
    assert isinstance(generator, Generator)
    shapes: dict[tuple[str, str, Resampling], torch.Size] = {}

    def note(key: tuple[str, str, Resampling]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            shapes[key] = inputs[0].shape

        return hook

    handles = [
        layer.register_forward_pre_hook(note((label, name, layer)))
        for label, network in (("G", generator), ("D", discriminator))
        for name, layer in network.named_modules()
        if isinstance(layer, Resampling)
    ]
    with torch.no_grad():
        fakes = generator(torch.randn(len(batch), generator.latent_size, device=device), batch.scene)
        discriminator(torch.cat([batch.images, fakes]), batch.scene.repeat(2, 1))
    for handle in handles:
        handle.remove()
    return shapes
