"""Self-supervised tasks; `SELF_SUPERVISION` is the registry."""

from mgm.method.selfsup.base import SelfSupervision
from mgm.method.selfsup.reconstruction import Reconstruction
from mgm.method.selfsup.simclr import SimCLR

SELF_SUPERVISION: dict[str, type[SelfSupervision]] = {"simclr": SimCLR, "reconstruction": Reconstruction}

__all__ = ["SELF_SUPERVISION", "Reconstruction", "SelfSupervision", "SimCLR"]
