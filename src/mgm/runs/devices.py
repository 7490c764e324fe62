"""Device, precision and processes, through Lightning Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from mgm.config import TrainingConfig
from mgm.errors import ConfigError, choose, unknown

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEVICES = ("auto", "cpu", "cuda", "mps")
_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def check_device(name: str) -> None:
    """Raise `ConfigError` for a device that does not exist or is not there."""
    if name not in DEVICES:
        raise ConfigError(unknown("device", name, DEVICES))
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda' but no CUDA GPU is visible to PyTorch; use --device cpu (or auto)")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device is 'mps' but PyTorch sees no Apple GPU; use --device cpu (or auto)")


def single_device(name: str) -> torch.device:
    """The device to predict on; ``auto`` is the GPU where there is one.

    Raises:
        ConfigError: If it is unknown or not there.
    """
    check_device(name)
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def launch(config: TrainingConfig) -> Fabric:
    """A Fabric for this process, connected with the others if torchrun started several.

    Raises:
        ConfigError: If the device is unknown or not there.
    """
    from lightning_fabric import Fabric  # takes seconds to import, and prediction does without

    check_device(config.device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=config.device,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=choose("precision", config.precision, _PRECISIONS),  # type: ignore[arg-type]
    )
    fabric.launch()
    if fabric.world_size != world:
        raise ConfigError(
            f"torchrun started {world} processes but only {fabric.world_size} train together; check --nproc-per-node"
        )
    return fabric


def is_first_process() -> bool:
    """Whether this is the process that prints and writes; also right before processes join and after they have left the group."""
    return os.environ.get("RANK", "0") == "0"


def leave_process_group() -> None:
    """Wait for all processes; from here on each works alone."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
