"""Task grouping (Standley et al., 2020): one multi-task network per group of tasks that are better learned together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from mgm.config import ModelConfig
from mgm.errors import ConfigError
from mgm.models.base import MultiTaskModel
from mgm.models.single_task import ParallelEncoders
from mgm.networks.decoders import DecodersOfParts
from mgm.networks.encoder import Encoder


@dataclass(frozen=True)
class TaskGroup:
    """One network and its tasks."""

    predicted: tuple[str, ...]
    """Tasks that this network predicts."""
    auxiliary: tuple[str, ...] = ()
    """Tasks that this network only learns to help the others; another network predicts them."""

    @property
    def name(self) -> str:
        """Name of the network, unique because no two groups predict the same task."""
        return "+".join(self.predicted)

    @property
    def text(self) -> str:
        """The group as in `ModelConfig.groups`: ``semantic+depth``, or ``normal/depth`` with an auxiliary task."""
        return "/".join("+".join(part) for part in (self.predicted, self.auxiliary) if part)


def parse_groups(texts: Sequence[str], tasks: Iterable[str]) -> tuple[TaskGroup, ...]:
    """Parse groups as users write them (see `TaskGroup.text`), one per network.

    Args:
        texts: The groups.
        tasks: Names of the tasks to learn.

    Raises:
        ConfigError: If a task is not predicted by exactly one network, or occurs twice in a network.
    """
    names = tuple(tasks)
    groups = tuple(_parse_group(text) for text in texts)
    predicted = [task for group in groups for task in group.predicted]
    example = " ".join(["+".join(names[:2]), *names[2:]])
    form = f"every task has to be predicted by one network, for example --groups {example}"
    for group in groups:
        learned = (*group.predicted, *group.auxiliary)
        for task in learned:
            if task not in names:
                raise ConfigError(f"group {group.text!r}: {task!r} is no task of this run ({', '.join(names)}); {form}")
            if learned.count(task) > 1:
                raise ConfigError(f"group {group.text!r} names {task!r} twice; {form}")
    for task in names:
        count = predicted.count(task)
        if count != 1:
            where = "in no group" if count == 0 else f"predicted by {count} groups"
            rest = (
                ""
                if count == 0
                else "; a task that a network only learns beside others stands after a slash: normal/depth"
            )
            raise ConfigError(f"task {task!r} is {where}; {form}{rest}")
    return groups


def _parse_group(text: str) -> TaskGroup:
    predicted, slash, auxiliary = text.partition("/")
    parts = [tuple(part.split("+")) for part in ((predicted, auxiliary) if slash else (predicted,))]
    if not all(task for part in parts for task in part):
        raise ConfigError(
            f"group {text!r} is none: write semantic+depth, or normal/depth with tasks that only help to train"
        )
    return TaskGroup(*parts)


class TaskGroupNetworks(MultiTaskModel):
    """One multi-task network per group of `ModelConfig.groups`. Arguments: see `MultiTaskModel`.

    All networks are trained together on the same batches, but a group's losses reach only its own network, so the result is the
    same as if each were trained alone. A network may learn more tasks than it predicts (auxiliary heads): Standley et al. train
    networks on subsets of the tasks and take each task from the network that predicts it best. With a single group, it equals
    `MultiTaskNetwork`; with one task per group, `SingleTaskNetworks`; both start from the same weights.

    Raises:
        ConfigError: See `parse_groups`.

    Example:
        >>> import torch
        >>> config = ModelConfig(groups=("semantic+depth", "normal/depth"))
        >>> model = TaskGroupNetworks({"semantic": 40, "depth": 1, "normal": 3}, config)
        >>> model(torch.zeros(1, 3, 64, 64))["normal"].shape
        torch.Size([1, 3, 64, 64])
        >>> list(model.decoders(model.encoder(torch.zeros(1, 3, 64, 64))))
        ['semantic', 'depth', 'normal', 'depth/normal']
    """

    takes_any_encoder = True

    @staticmethod
    def build(channels: Mapping[str, int], config: ModelConfig) -> tuple[Encoder, nn.Module]:
        """One encoder per group, and decoders that read the features of their group's encoder."""
        groups = parse_groups(config.groups, channels)
        encoder = ParallelEncoders((group.name for group in groups), config)
        heads = [
            {task: channels[task] for task in group.predicted}
            | {f"{task}/{group.name}": channels[task] for task in group.auxiliary}
            for group in groups
        ]
        return encoder, DecodersOfParts(encoder.parts, heads, config)
