"""Composites: new labelled images, made by pasting parts of one labelled image into another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mgm.errors import ConfigError, choose
from mgm.functional.transfer import to_device
from mgm.tasks import label_map_of
from mgm.tasks.base import Task
from mgm.types import IGNORE_INDEX, Batch

MAX_BEHIND_M = 0.3
"""Largest distance of B behind A, in metres, at which it is pasted."""
OBJECT_SHARE = 0.25
"""A class counts as objects in an image if it covers less than this fraction; others are walls, floor, sky or road."""
LARGEST_RECTANGLE = 0.5
"""Largest fraction of the image that a pasted rectangle covers, so that the scene label remains correct."""


class Composites:
    """Pastes parts of image B, with all its labels, into image A.

    B is another image of the batch. `PIECES` are the choices of what is pasted:

    - ``classes``: a random half of the classes in B (rounded down, at least one), as in ClassMix (Olsson et al., WACV 2021).
    - ``objects``: a random half of the classes that cover less than a quarter of B, so that objects are moved but walls are not:
      copy-paste (Ghiasi et al., CVPR 2021) of classes instead of instances, without its scaling.
    - ``cutmix``: a rectangle (Yun et al., ICCV 2019), here of 0 to 50 % of the image, with side ratios of 1:2 to 2:1.

    Classes are pasted only where B is at most 0.3 m behind A, so that nearer surfaces stay in front. Where either depth is
    unknown, or if depth is not a task, everything chosen is pasted. The scene label of A is kept. Not from the paper.

    At the seams, ``edge_texture``, ``principal_curvature`` and ``reshading`` remain those of the parts, not of the composite.

    Args:
        tasks: Task name -> task; all pieces but ``cutmix`` need a task with classes (`mgm.tasks.label_map_of`).
        pieces: Key of `PIECES`.
        share: Probability that something is pasted into an image, in (0, 1].
        givers: Number of other images that are pasted, one after another.
        vary: Augments B before pasting, labels included, given a seed.
        match: How far B's colours are moved towards A's mean and standard deviation per channel, in [0, 1].

    Raises:
        ConfigError: If ``pieces`` is unknown, or there is no segmentation task to choose them by.
    """

    def __init__(
        self,
        tasks: dict[str, Task],
        pieces: str = "classes",
        *,
        share: float = 1.0,
        givers: int = 1,
        vary: Callable[[Batch, int], Batch] | None = None,
        match: float = 0.0,
    ) -> None:
        self.pieces = pieces
        self._choose = choose("pieces of composites", pieces, PIECES)
        self._label_map = label_map_of(tasks)
        if pieces != "cutmix" and not self._label_map:
            raise ConfigError(
                "composites need the task 'semantic', or another task with classes, to cut images into pieces; "
                f"the tasks are {', '.join(tasks) or 'none'}: add such a task, or choose other extra images or --mix cutmix"
            )
        self._num_classes = tasks[self._label_map].channels if self._label_map else 0
        self._share, self._givers, self._vary, self._match = share, givers, vary, match

    def __call__(self, batch: Batch, seed: int) -> Batch:
        """Make one composite per image: each image is A once, and B once per giver. Depends only on batch and seed."""
        generator = torch.Generator().manual_seed(seed)
        result, changed = batch, None
        for _ in range(self._givers):
            other = self._other(batch, generator)
            pasted = self._choose(self, result, other, generator)
            if self._share < 1:
                changed = torch.rand(len(batch), generator=generator) < self._share if changed is None else changed
                pasted = pasted & to_device(changed, pasted.device)[:, None, None]
            result = replace(paste(result, other, pasted), unmixed=batch.images)
        return result

    def _other(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Image B for every image A, after ``vary`` and ``match``."""
        partner = to_device(_partners(len(batch), generator), batch.images.device)
        other = Batch(
            batch.images.index_select(0, partner),
            {task: target.index_select(0, partner) for task, target in batch.targets.items()},
            batch.scene,
        )
        if self._vary:
            other = self._vary(other, int(torch.randint(1 << 31, (1,), generator=generator)))
        if self._match:
            (mean, std), (own_mean, own_std) = (
                (images.mean((2, 3), keepdim=True), images.std((2, 3), keepdim=True))
                for images in (batch.images, other.images)
            )
            alike = ((other.images - own_mean) / own_std.clamp(min=1e-3) * std + mean).clamp(-1, 1)
            other = replace(other, images=other.images.lerp(alike, self._match))
        return other

    def _half_of_classes(self, batch: Batch, other: Batch, generator: torch.Generator, below: float) -> Tensor:
        """``[B, H, W]`` bool: pixels of half of the classes that cover less than ``below`` of B, where B is not behind A."""
        labels = other.targets[self._label_map]
        flat = labels.flatten(1)
        area = torch.zeros(len(batch), IGNORE_INDEX + 1, device=labels.device)
        area = area.scatter_add_(1, flat, torch.ones_like(flat, dtype=area.dtype))[:, : self._num_classes]
        present = (area > 0) & (area < below * flat.shape[1])
        lots = to_device(torch.rand(len(batch), self._num_classes, generator=generator), labels.device)
        rank = lots.masked_fill(~present, 2).argsort(dim=1).argsort(dim=1)
        half = (present.sum(dim=1, keepdim=True) // 2).clamp(min=1)
        chosen = torch.zeros(len(batch), IGNORE_INDEX + 1, dtype=torch.bool, device=labels.device)
        chosen[:, : self._num_classes] = present & (rank < half)
        pasted = chosen.gather(1, flat).view_as(labels)
        if "depth" in batch.targets:
            behind = other.targets["depth"] - batch.targets["depth"] > MAX_BEHIND_M
            pasted = pasted & ~behind[:, 0]  # a comparison with NaN is false: pixels of unknown depth are pasted
        return pasted

    def _rectangle(self, batch: Batch, other: Batch, generator: torch.Generator) -> Tensor:
        """``[B, H, W]`` bool: a rectangle of random size, side ratio and position inside the image."""
        draws = to_device(torch.rand(len(batch), 4, generator=generator), batch.images.device)
        area, ratio = LARGEST_RECTANGLE * draws[:, 0], torch.exp(math.log(2) * (2 * draws[:, 1] - 1))
        sides = torch.stack([area * ratio, area / ratio], dim=1).sqrt()  # at most 1: the largest is 1 x 1/2
        first = draws[:, 2:] * (1 - sides)
        inside = []
        for axis, length in enumerate(batch.images.shape[2:]):
            middles = (torch.arange(length, device=batch.images.device) + 0.5) / length
            inside.append((middles >= first[:, axis, None]) & (middles < (first + sides)[:, axis, None]))
        return inside[0][:, :, None] & inside[1][:, None, :]


PIECES: dict[str, Callable[[Composites, Batch, Batch, torch.Generator], Tensor]] = {
    "classes": partial(Composites._half_of_classes, below=math.inf),
    "objects": partial(Composites._half_of_classes, below=OBJECT_SHARE),
    "cutmix": Composites._rectangle,
}
"""Name -> function that selects which pixels of the other image are pasted."""


def paste(batch: Batch, other: Batch, where: Tensor) -> Batch:
    """The batch with the pixels ``where`` ``[B, H, W]`` bool, and their labels, from another; scene labels are kept."""
    targets = {
        task: torch.where(where[:, None] if target.ndim == 4 else where, other.targets[task], target)
        for task, target in batch.targets.items()
    }
    return replace(batch, images=torch.where(where[:, None], other.images, batch.images), targets=targets)


def _partners(count: int, generator: torch.Generator) -> Tensor:
    """A random permutation with a single cycle, so that no image is its own partner."""
    order = torch.randperm(count, generator=generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner
