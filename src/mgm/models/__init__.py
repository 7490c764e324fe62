"""Predictors; `MODELS` is the registry: constructors ``(channels, depth, widths)``."""

from mgm.models.base import MultiTaskModel
from mgm.models.multi_task import MultiTaskNetwork
from mgm.models.single_task import SingleTaskNetworks

MODELS: dict[str, type[MultiTaskModel]] = {"multi_task": MultiTaskNetwork, "single_task": SingleTaskNetworks}

__all__ = ["MODELS", "MultiTaskModel", "MultiTaskNetwork", "SingleTaskNetworks"]
