"""Balancing of the task losses on the shared encoder: the choices of `MethodConfig.balance`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import import_module

from mgm.errors import ConfigError
from mgm.method.losses import task_losses, uncertainty_loss
from mgm.training.gradients import Aggregated
from mgm.training.updates import Update

AGGREGATORS = ("AlignedMTL", "ConFIG", "GradDrop", "IMTLG", "MGDA", "PCGrad", "Random", "UPGrad")
"""Supported aggregators of TorchJD: those without parameters and without state between steps."""


def _aggregated(update: Update, name: str) -> Update:
    try:
        aggregator = getattr(import_module("torchjd.aggregation"), name)()
    except ModuleNotFoundError:
        raise ConfigError(f"balance torchjd:{name} needs TorchJD: pip install 'mgm[balance]'") from None
    except ImportError:  # the extra does not include TorchJD's solver of quadratic programs
        raise ConfigError(
            f"balance torchjd:{name} needs a solver that TorchJD does not bring along: "
            "pip install 'torchjd[quadprog_projector]'; or use another, such as torchjd:PCGrad"
        ) from None
    return replace(update, loss=task_losses, gradient=Aggregated(aggregator))


BALANCES: dict[str, Callable[[Update], Update]] = {
    "sum": lambda update: update,
    "uncertainty": lambda update: replace(update, trains=(*update.trains, "uncertainty"), loss=uncertainty_loss),
    **{f"torchjd:{name}": partial(_aggregated, name=name) for name in AGGREGATORS},
}
"""Name -> function that adapts an update whose loss is the sum of the task losses."""
