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
"""Environment variables that torchrun sets besides the number of processes."""
_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def check_device(name: str) -> None:
    """Raise `ConfigError` for a device that is unknown or not available."""
    if name not in DEVICES:
        raise ConfigError(unknown("device", name, DEVICES))
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device is 'cuda' but no CUDA GPU is visible to PyTorch; use --device cpu (or auto)")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device is 'mps' but PyTorch sees no Apple GPU; use --device cpu (or auto)")


def single_device(name: str) -> torch.device:
    """The device to predict on; ``auto`` is a GPU if there is one.

    Raises:
        ConfigError: If the device is unknown or not available.
    """
    check_device(name)
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def launch(config: TrainingConfig) -> Fabric:
    """Make this process's Fabric, connected with the other processes if torchrun started several.

    Raises:
        ConfigError: If the device is unknown or not available, or not all processes train together.
    """
    from lightning_fabric import Fabric  # takes seconds to import and is not needed for prediction
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    check_device(config.device)
    world, local = started_processes(), started_processes("LOCAL_WORLD_SIZE")
    fabric = Fabric(
        accelerator=config.device,
        devices=local,
        num_nodes=max(1, world // local),
        # otherwise Fabric uses Slurm's, LSF's or MPI's tasks, which need not be processes of one training
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
    """Number of processes that torchrun has started: in total or, for ``LOCAL_WORLD_SIZE``, on this machine.

    Raises:
        ConfigError: If torchrun's environment variables are invalid or incomplete.
    """
    text = os.environ.get(variable, "1")
    number = int(text) if text.isdecimal() else 0
    lacking = [name for name in TORCHRUN if number > 1 and name not in os.environ]
    if number < 1 or lacking:
        what = f"{lacking[0]} is not" if lacking else "that is no number of processes"
        raise ConfigError(f"{variable} is {text!r} in the environment, but {what}; unset it, or start by torchrun")
    return number


def is_first_process() -> bool:
    """Whether this process prints and writes; valid even before processes join their group and after they have left it."""
    return os.environ.get("RANK", "0") == "0"


def leave_process_group() -> None:
    """Wait for all processes, then destroy the process group."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
