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
TORCHRUN = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells processes beside their number."""
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
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    check_device(config.device)
    world, local = started_processes(), started_processes("LOCAL_WORLD_SIZE")
    fabric = Fabric(
        accelerator=config.device,
        devices=local,
        num_nodes=max(1, world // local),
        # by itself Fabric looks for Slurm, LSF and MPI, whose tasks are not ours: one job may hold a whole node for one training
        plugins=[TorchElasticEnvironment() if world > 1 else LightningEnvironment()],
        strategy="ddp" if world > 1 else "auto",
        precision=choose("precision", config.precision, _PRECISIONS),  # type: ignore[arg-type]
    )
    fabric.launch()
    if fabric.world_size != world:
        raise ConfigError(
            f"torchrun started {world} processes but only {fabric.world_size} train together; check --nproc-per-node"
        )
    return fabric


def started_processes(variable: str = "WORLD_SIZE") -> int:
    """Processes that torchrun has started: in all, or (``LOCAL_WORLD_SIZE``) on this machine.

    Raises:
        ConfigError: If its variables are not whole.
    """
    text = os.environ.get(variable, "1")
    number = int(text) if text.isdecimal() else 0
    lacking = [name for name in TORCHRUN if number > 1 and name not in os.environ]
    if number < 1 or lacking:
        what = f"{lacking[0]} is not" if lacking else "that is no number of processes"
        raise ConfigError(f"{variable} is {text!r} in the environment, but {what}; unset it, or start by torchrun")
    return number


def is_first_process() -> bool:
    """Whether this is the process that prints and writes; also right before processes join and after they have left the group."""
    return os.environ.get("RANK", "0") == "0"


def leave_process_group() -> None:
    """Wait for all processes; from here on each works alone."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
