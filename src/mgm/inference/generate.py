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
    """Sample new images from a run's generator, for each scene.

    Args:
        run: The run's folder.
        num: Images per scene (with multi-hot labels: per combination, for the most frequent ones).
        stage: ``generator`` (before joint training) or ``joint`` (after it); empty: the latest available.
        seed: Seed of the noise; it gives the same noise for both stages.
        device: Device to compute on.

    Returns:
        Scene -> ``[num, C, H, W]`` in (-1, 1), with the channels of the run's images.

    Raises:
        RunError: If the run trained no generator.
    """
    generator = TrainedGenerator.load(Path(run), stage, device)
    return {name: generator.sample(name, label, num, seed) for name, label in generator.conditions().items()}


class TrainedGenerator:
    """The generator of a run at the end of a training stage.

    Args:
        generator: The network, with the labels of the images it was trained on.
        info: Description of the run's data set.
    """

    def __init__(self, generator: SavedGenerator, info: DatasetInfo) -> None:
        self.generator = generator
        self.labels = generator.labels
        self.info = info

    @classmethod
    def load(cls, run: Path, stage: str = "", device: str = "auto") -> TrainedGenerator:
        """Load a run's generator; arguments as for `SavedGenerator.load`.

        Raises:
            RunError: If the folder holds no run, or the run trained no generator.
        """
        return cls(SavedGenerator.load(run, single_device(device), stage), RunFolder(run).info())

    def conditions(self) -> dict[str, Tensor]:
        """Name -> label vector ``[K]`` of every scene; with multi-hot labels, of the most frequent combinations."""
        return conditioning(self.labels, self.info)

    def label_of(self, scenes: list[str]) -> Tensor:
        """Label vector ``[K]`` of the named scenes (of the named objects for multi-hot labels); all zeros for none."""
        if not self.info.scenes:
            return self.labels[0]
        named = [float(name in scenes) for name in self.info.scenes]
        return torch.tensor(named, device=self.labels.device)

    def sample(self, name: str, label: Tensor, num: int, seed: int) -> Tensor:
        """Sample new images with one label.

        Args:
            name: Name of the label; the noise depends on it and on the seed.
            label: ``[K]``, the scene label.
            num: Number of images.
            seed: Seed of the noise; it gives the same noise for every training stage.

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
    """Labels to generate images for, as `TrainedGenerator.conditions` returns them, with at most ``most`` combinations."""
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
