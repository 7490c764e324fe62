"""Task grouping (Standley et al., 2020): one multi-task network per group of tasks that are better learned together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from torch import nn

from mgm.config import ModelConfig
from mgm.errors import ConfigError
from mgm.models.base import MultiTaskModel
from mgm.models.single_task import OwnFeatures, ParallelEncoders
from mgm.networks.decoder import Decoder


@dataclass(frozen=True)
class TaskGroup:
    """One network and its tasks."""

    predicted: tuple[str, ...]
    """Tasks that this network predicts."""
    auxiliary: tuple[str, ...] = ()
    """Tasks that it learns as well because that helps the others; another network predicts them."""

    @property
    def name(self) -> str:
        """What the network is called: unique, because no two groups predict the same task."""
        return "+".join(self.predicted)

    @property
    def text(self) -> str:
        """The group as it stands in `ModelConfig.groups`: ``semantic+depth``, or ``normal/depth`` with an auxiliary task."""
        return "/".join("+".join(part) for part in (self.predicted, self.auxiliary) if part)


def parse_groups(texts: Sequence[str], tasks: Iterable[str]) -> tuple[TaskGroup, ...]:
    """Read groups as a user writes them (see `TaskGroup.text`).

    Args:
        texts: One per network.
        tasks: The tasks to learn.

    Raises:
        ConfigError: Unless every task is predicted by exactly one network and each network has a task at most once.
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
    """A multi-task network per group, side by side. Arguments: see `MultiTaskModel`.

    The networks train together, on the same batches; a group's losses reach its own network alone, so each becomes what
    it would become if it were trained by itself. A network may learn more tasks than it predicts: Standley et al. train
    networks on subsets of the tasks and take each task from the network that does it best, so the others keep their head
    for it in training (an auxiliary head). With one group it is `MultiTaskNetwork`, with groups of one task each
    `SingleTaskNetworks`, and starts from the same weights.

    Args:
        groups: One text per network (`parse_groups`); none: one network for all tasks.

    Raises:
        ConfigError: See `parse_groups`.

    Example:
        >>> import torch
        >>> model = TaskGroupNetworks({"semantic": 40, "depth": 1, "normal": 3}, groups=("semantic+depth", "normal/depth"))
        >>> model(torch.zeros(1, 3, 64, 64))["normal"].shape
        torch.Size([1, 3, 64, 64])
        >>> list(model.decoders)
        ['semantic', 'depth', 'normal', 'depth/normal']
    """

    @classmethod
    def from_config(cls, channels: Mapping[str, int], config: ModelConfig) -> Self:
        """The networks that settings describe; without groups in them, a `ConfigError` shows how to write them."""
        parse_groups(config.groups, channels)
        return cls(channels, config.depth, config.widths, groups=config.groups)

    @staticmethod
    def build(
        channels: Mapping[str, int], depth: int, widths: Sequence[int], groups: Sequence[str] = ()
    ) -> tuple[nn.Module, Mapping[str, nn.Module]]:
        """One encoder per group; a decoder reads the part of the features that is its own encoder's."""
        parsed = parse_groups(groups or ("+".join(channels),), channels)
        encoder = ParallelEncoders((group.name for group in parsed), depth, widths)
        size = widths[-1]

        def head(task: str, network: int) -> OwnFeatures:
            return OwnFeatures(Decoder(size, channels[task], widths, depth), network * size, size)

        owner = {task: network for network, group in enumerate(parsed) for task in group.predicted}
        heads = {task: head(task, owner[task]) for task in channels}
        for network, group in enumerate(parsed):
            heads |= {f"{task}/{group.name}": head(task, network) for task in group.auxiliary}
        return encoder, heads
