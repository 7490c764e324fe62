"""Optimisers for the updates (or, combined, for the networks), and their learning rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from mgm.config import TrainingConfig
from mgm.training.updates import Stage, Update

GAN_BETAS = (0.0, 0.9)
"""Adam's betas for generator and discriminator (Zhang et al., SAGAN, 4)."""
BETAS = (0.9, 0.999)
MODEL = ("encoder", "decoders")
"""The networks of M, whose rates follow the schedule."""
OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
"""`TrainingConfig.optimizer` -> class."""


def _group(networks: Mapping[str, nn.Module], name: str, config: TrainingConfig, weight_decay: float) -> dict[str, Any]:
    rates = {
        "encoder": config.learning_rate * config.encoder_rate_factor,
        "generator": config.generator_rate,
        "embedding": config.generator_rate,
        "discriminator": config.discriminator_rate,
        "policy": config.policy_rate,
    }
    rate = rates.get(name, config.learning_rate)
    return {
        "params": list(networks[name].parameters()),
        "lr": rate,
        "base_rate": rate if name in MODEL else None,
        "betas": GAN_BETAS if name in ("generator", "discriminator") else BETAS,
        "weight_decay": weight_decay,
    }


def optimizer_names(updates: tuple[Update, ...], optimizer_step: str) -> dict[str, tuple[str, ...]]:
    """Optimiser name -> networks that it updates: one optimiser per update, named after it, or (combined) one per network."""
    if optimizer_step == "combined":
        return {network: (network,) for update in updates for network in update.trains}
    return {update.name: update.trains for update in updates if update.trains}


def build_optimizers(
    networks: Mapping[str, nn.Module], stages: tuple[Stage, ...], config: TrainingConfig
) -> dict[str, torch.optim.Optimizer]:
    """Build all optimisers of a run. An update that occurs in several stages keeps its optimiser and its moments.

    With separate optimisers, only the task update applies weight decay to M; otherwise several optimisers would decay the
    encoder in the same step.
    """
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for stage in stages:
        for name, trained in optimizer_names(stage.updates, config.optimizer_step).items():
            # the generator's update trains the encoder only in joint training: collect the networks of all stages
            decays = name == "task" or config.optimizer_step == "combined"
            decaying = MODEL if decays else ()
            groups = [
                _group(networks, network, config, config.weight_decay if network in decaying else 0.0)
                for network in trained
            ]
            optimizers.setdefault(name, OPTIMIZERS[config.optimizer](groups, lr=config.learning_rate, fused=True))
            _add_missing(optimizers[name], groups)
    return optimizers


def _add_missing(optimizer: torch.optim.Optimizer, groups: list[dict[str, Any]]) -> None:
    """Add the parameter groups that an optimiser does not have yet."""
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for group in groups:
        parameters = group["params"]
        if parameters and id(parameters[0]) not in known:
            optimizer.add_param_group(group)


def set_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set the learning rates of M's networks to their base rates times a factor (`mgm.training.schedules`)."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if group["base_rate"] is not None:
                group["lr"] = group["base_rate"] * factor


def match_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Convert an optimiser's loaded moments to the memory format of their parameters.

    Torch's fused Adam assumes equal formats and otherwise silently mixes up channels, and a checkpoint may come from a device
    or setting with another format (`TrainingConfig.channels_last`).
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)
