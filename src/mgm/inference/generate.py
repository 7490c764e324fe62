"""New images from the generator of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from mgm.runs.devices import single_device
from mgm.runs.folder import RunFolder
from mgm.runs.saved_generators import SavedGenerator
from mgm.training.seeding import random_generator
from mgm.types import DatasetInfo


def generate(
    run: str | Path, num: int, *, stage: str = "", seed: int = 0, device: str = "auto"
) -> Mapping[str, Tensor]:
    """New images from a run's generator, by scene.

    Args:
        run: The run's folder.
        num: Images per scene (with multi-hot labels: for each of the most frequent combinations).
        stage: ``generator`` (before joint training) or ``joint`` (after it); empty: the latest there is.
        seed: Seed of the noise, which is the same for every stage.
        device: Where to compute.

    Returns:
        Scene -> ``[num, C, H, W]`` in (-1, 1), in the channels of the run's images.

    Raises:
        RunError: If the run trained no generator.
    """
    generator = TrainedGenerator.load(Path(run), stage, device)
    return {name: generator.sample(name, label, num, seed) for name, label in generator.conditions().items()}


class TrainedGenerator:
    """The generator of a run as a stage of its training left it.

    Args:
        generator: The network with the images that it starts from.
        info: What the run's data set offers.
    """

    def __init__(self, generator: SavedGenerator, info: DatasetInfo) -> None:
        self.generator = generator
        self.labels = generator.labels
        self.info = info

    @classmethod
    def load(cls, run: Path, stage: str = "", device: str = "auto") -> TrainedGenerator:
        """Read a run's generator; arguments as of `SavedGenerator.load`.

        Raises:
            RunError: If the folder holds no run, or the run trained no generator.
        """
        return cls(SavedGenerator.load(run, single_device(device), stage), RunFolder(run).info())

    def conditions(self) -> dict[str, Tensor]:
        """Name -> label row ``[K]``: every scene; with multi-hot labels the most frequent combinations."""
        return conditioning(self.labels, self.info)

    def label_of(self, scenes: list[str]) -> Tensor:
        """Label row ``[K]`` of the named scenes (of multi-hot data: objects); without any, all zeros."""
        if not self.info.scenes:
            return self.labels[0]
        named = [float(name in scenes) for name in self.info.scenes]
        return torch.tensor(named, device=self.labels.device)

    def sample(self, name: str, label: Tensor, num: int, seed: int) -> Tensor:
        """New images with one label.

        Args:
            name: Of the label; the noise depends on it and on the seed.
            label: ``[K]``, the scene label.
            num: How many.
            seed: The noise is the same for every stage of the training.

        Returns:
            ``[num, C, H, W]`` in (-1, 1).
        """
        place = self.labels.device
        random = random_generator(place, seed, name)
        alike = (self.labels == label).all(1).nonzero().flatten()
        pool = alike if len(alike) else torch.arange(len(self.labels), device=place)
        chosen = pool[torch.randint(len(pool), (num,), generator=random, device=place)]
        return self.generator.images(chosen, label.expand(num, -1), random)


def conditioning(labels: Tensor, info: DatasetInfo, most: int = 12) -> dict[str, Tensor]:
    """As `TrainedGenerator.conditions`, with at most so many combinations."""
    if not info.scenes:
        return {"any": labels[0]}
    if not info.multi_hot:
        return dict(zip(info.scenes, torch.eye(len(info.scenes), device=labels.device), strict=True))
    rows, counts = cast(tuple[Tensor, Tensor], labels.unique(dim=0, return_counts=True))
    common = rows[counts.argsort(descending=True, stable=True)[:most]]
    return {
        ", ".join(name for name, on in zip(info.scenes, row.bool(), strict=True) if on) or "none": row
        for row in common.unbind()
    }
