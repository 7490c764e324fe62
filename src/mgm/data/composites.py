"""Labelled images put together from pairs of labelled images: synthesis of image and labels, without a generator."""

from __future__ import annotations

import torch
from torch import Tensor

from mgm.errors import ConfigError
from mgm.tasks.base import Task
from mgm.types import IGNORE_INDEX, Batch

MAX_BEHIND_M = 0.3


class Composites:
    """Pastes half the classes of image B into image A, with all their labels.

    B is another image of the batch. Of its classes in view a random half (rounded down, at least one) is pasted, but
    only where B is no more than 0.3 m behind A: what stands in front stays in front. Where either depth is unknown, or
    depth is no task, everything chosen is pasted. The scene label stays A's. Not from the paper; the classes are chosen
    as in ClassMix (Olsson et al., WACV 2021).

    At the seams, ``edge_texture``, ``principal_curvature`` and ``reshading`` are those of the pieces, not of the whole.

    Args:
        tasks: Name -> task; ``semantic`` is needed.
        max_behind_m: How far B may lie behind A, in metres.

    Raises:
        ConfigError: If there is no segmentation to choose pieces by.
    """

    def __init__(self, tasks: dict[str, Task], max_behind_m: float = MAX_BEHIND_M) -> None:
        if "semantic" not in tasks:
            raise ConfigError(
                "composites need the task 'semantic' to cut images into pieces; "
                f"the tasks are {', '.join(tasks) or 'none'}: choose other extra images or add it"
            )
        self._num_classes = tasks["semantic"].channels
        self._max_behind_m = max_behind_m

    def __call__(self, batch: Batch, seed: int) -> Batch:
        """As many composites as the batch has images; every image is A once and B once.

        Args:
            batch: Labelled images; one alone is returned as it is.
            seed: The result depends on the batch and this number alone; the global random state is left alone.
        """
        generator = torch.Generator().manual_seed(seed)
        partner = _partners(len(batch), generator).to(batch.images.device)
        other = Batch(
            batch.images.index_select(0, partner),
            {task: target.index_select(0, partner) for task, target in batch.targets.items()},
            batch.scene,
        )
        pasted = self._pasted(batch, other, generator)
        return Batch(
            torch.where(pasted[:, None], other.images, batch.images),
            {
                task: torch.where(pasted[:, None] if target.ndim == 4 else pasted, other.targets[task], target)
                for task, target in batch.targets.items()
            },
            batch.scene,
        )

    def _pasted(self, batch: Batch, other: Batch, generator: torch.Generator) -> Tensor:
        """``[B, H, W]`` bool: pixels that come from the other image."""
        labels = other.targets["semantic"]
        present = torch.zeros(len(batch), IGNORE_INDEX + 1, dtype=torch.bool, device=labels.device)
        present.scatter_(1, labels.flatten(1), True)
        present = present[:, : self._num_classes]
        lots = torch.rand(len(batch), self._num_classes, generator=generator).to(labels.device)
        rank = lots.masked_fill(~present, 2).argsort(dim=1).argsort(dim=1)
        half = (present.sum(dim=1, keepdim=True) // 2).clamp(min=1)
        chosen = torch.zeros(len(batch), IGNORE_INDEX + 1, dtype=torch.bool, device=labels.device)
        chosen[:, : self._num_classes] = present & (rank < half)
        pasted = chosen.gather(1, labels.flatten(1)).view_as(labels)
        if "depth" in batch.targets:
            behind = other.targets["depth"] - batch.targets["depth"] > self._max_behind_m
            pasted = pasted & ~behind[:, 0]  # NaN compares false: an unknown depth forbids nothing
        return pasted


def _partners(count: int, generator: torch.Generator) -> Tensor:
    """A random permutation that is one cycle: nobody is their own partner."""
    order = torch.randperm(count, generator=generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner
