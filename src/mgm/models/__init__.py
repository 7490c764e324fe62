"""Multi-task models; `MODELS` is the registry of classes, which are constructed with ``(channels, config)``."""

from mgm.models.adashare import AdaShareNetwork
from mgm.models.base import MultiTaskModel
from mgm.models.cross_stitch import ChannelCrossStitchNetworks, CrossStitchNetworks
from mgm.models.multi_task import MultiTaskNetwork
from mgm.models.single_task import SingleTaskNetworks
from mgm.models.task_groups import TaskGroupNetworks

MODELS: dict[str, type[MultiTaskModel]] = {
    "multi_task": MultiTaskNetwork,
    "single_task": SingleTaskNetworks,
    "task_groups": TaskGroupNetworks,
    "cross_stitch": CrossStitchNetworks,
    "cross_stitch_channels": ChannelCrossStitchNetworks,
    "adashare": AdaShareNetwork,
}

__all__ = [
    "MODELS",
    "AdaShareNetwork",
    "ChannelCrossStitchNetworks",
    "CrossStitchNetworks",
    "MultiTaskModel",
    "MultiTaskNetwork",
    "SingleTaskNetworks",
    "TaskGroupNetworks",
]
