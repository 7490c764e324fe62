"""Composites: new labelled images made by pasting parts of one labelled image into another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mgm.errors import ConfigError, choose
from mgm.tasks import label_map_of
from mgm.tasks.base import Task
from mgm.types import IGNORE_INDEX, Batch

MAX_BEHIND_M = 0.3

OBJECT_SHARE = 0.25
"""A class that covers less of an image is taken for objects; what covers more for walls, floor, sky, road."""

LARGEST_RECTANGLE = 0.5
"""Share of the image that a pasted rectangle covers at most: the scene label, which stays, has to stay true."""


class Composites:
    """Pastes part of image B into image A, with all its labels.

    B is another image of the batch. What is pasted is one of `PIECES`:

    - ``classes``: a random half of B's classes in view (rounded down, at least one), as in ClassMix (Olsson et al., WACV
      2021).
    - ``objects``: likewise of those classes that cover less than a quarter of B, so that objects move and walls stay: a
      copy-paste (Ghiasi et al., CVPR 2021) of classes instead of instances, without a scaling of its own.
    - ``cutmix``: a rectangle (Yun et al., ICCV 2019), here of 0 to 50 % of the image, its sides at 1:2 to 2:1.

    Classes are pasted only where B is no more than 0.3 m behind A: what stands in front stays in front. Where either
    depth is unknown, or depth is no task, everything chosen is pasted. The scene label stays A's. Not from the paper.

    At the seams, ``edge_texture``, ``principal_curvature`` and ``reshading`` are those of the pieces, not of the whole.

    Args:
        tasks: Name -> task; all but ``cutmix`` need one with classes, and look at `mgm.tasks.label_map_of`.
        pieces: Key of `PIECES`.
        share: Of how many images something is pasted into, in (0, 1]; each is decided on its own.
        givers: From how many other images, one after another.
        vary: What B goes through before, by a seed, labels and all: mirrored or scaled, say.
        match: How far B's colours are moved towards A's mean and standard deviation of each channel, in [0, 1].
        max_behind_m: How far B may lie behind A, in metres.

    Raises:
        ConfigError: If there are no such pieces, or no segmentation to choose them by.
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
        max_behind_m: float = MAX_BEHIND_M,
    ) -> None:
        self.pieces = pieces
        self._choose = choose("pieces of composites", pieces, PIECES)
        self._label_map = label_map_of(tasks)
        if pieces != "cutmix" and not self._label_map:
            raise ConfigError(
                "composites need the task 'semantic', or another one with classes, to cut images into pieces; "
                f"the tasks are {', '.join(tasks) or 'none'}: choose other extra images or --mix cutmix, or add it"
            )
        self._num_classes = tasks[self._label_map].channels if self._label_map else 0
        self._share, self._givers, self._vary, self._match = share, givers, vary, match
        self._max_behind_m = max_behind_m

    def __call__(self, batch: Batch, seed: int) -> Batch:
        """As many composites as the batch has images (every image is A once, and B once per giver), by batch and seed alone."""
        generator = torch.Generator().manual_seed(seed)
        result, changed = batch, None
        for _ in range(self._givers):
            other = self._other(batch, generator)
            pasted = self._choose(self, result, other, generator)
            if self._share < 1:
                changed = torch.rand(len(batch), generator=generator) < self._share if changed is None else changed
                pasted = pasted & changed.to(pasted.device)[:, None, None]
            result = Batch(
                torch.where(pasted[:, None], other.images, result.images),
                {
                    task: torch.where(pasted[:, None] if target.ndim == 4 else pasted, other.targets[task], target)
                    for task, target in result.targets.items()
                },
                batch.scene,
                unmixed=batch.images,
            )
        return result

    def _other(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The image B of every image A, as it is pasted."""
        partner = _partners(len(batch), generator).to(batch.images.device)
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
        """``[B, H, W]`` bool: half of the classes below a share of the other image, where they do not lie behind."""
        labels = other.targets[self._label_map]
        flat = labels.flatten(1)
        area = torch.zeros(len(batch), IGNORE_INDEX + 1, device=labels.device)
        area = area.scatter_add_(1, flat, torch.ones_like(flat, dtype=area.dtype))[:, : self._num_classes]
        present = (area > 0) & (area < below * flat.shape[1])
        lots = torch.rand(len(batch), self._num_classes, generator=generator).to(labels.device)
        rank = lots.masked_fill(~present, 2).argsort(dim=1).argsort(dim=1)
        half = (present.sum(dim=1, keepdim=True) // 2).clamp(min=1)
        chosen = torch.zeros(len(batch), IGNORE_INDEX + 1, dtype=torch.bool, device=labels.device)
        chosen[:, : self._num_classes] = present & (rank < half)
        pasted = chosen.gather(1, flat).view_as(labels)
        if "depth" in batch.targets:
            behind = other.targets["depth"] - batch.targets["depth"] > self._max_behind_m
            pasted = pasted & ~behind[:, 0]  # NaN compares false: an unknown depth forbids nothing
        return pasted

    def _rectangle(self, batch: Batch, other: Batch, generator: torch.Generator) -> Tensor:
        """``[B, H, W]`` bool: a rectangle of random size, proportions and place, all of it in the image."""
        draws = torch.rand(len(batch), 4, generator=generator).to(batch.images.device)
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
"""Name -> which pixels of the other image are pasted."""


def _partners(count: int, generator: torch.Generator) -> Tensor:
    """A random permutation that is one cycle: no image is its own partner."""
    order = torch.randperm(count, generator=generator)
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner
