"""The data source ``rooms``: rendered indoor scenes with exact labels for all six tasks."""

from __future__ import annotations

import numpy as np

from mgm.data.base import DataSource, Splits
from mgm.data.rooms.dice import Dice
from mgm.data.rooms.labels import NOTES
from mgm.data.rooms.picture import take
from mgm.data.rooms.scene import Scene, compose
from mgm.data.rooms.vocabulary import CLASSES, SCENES
from mgm.data.splits import random_split
from mgm.errors import ConfigError
from mgm.types import DatasetInfo, Frame, FrameLike, Sample

VERSION = 1
"""Version of the generator, part of cache keys. Increase it whenever a code change alters any sample."""
TASKS = ("semantic", "depth", "normal", "edge_texture", "reshading", "principal_curvature")
_ORDER, _LAYOUT, _NOISE = range(3)
"""Independent streams of random numbers."""


class RoomsSource(DataSource):
    """Procedural indoor scenes.

    Sample ``index`` of seed ``seed`` is always the same scene, independent of the resolution and of what was read before. Scene
    types are equally frequent and in random order.

    Args:
        num_images: Number of samples.
        seed: Seed of the scenes.

    Raises:
        ConfigError: If there are no images, or the seed is negative.

    Example:
        >>> source = RoomsSource(num_images=10)
        >>> source.read(3, size=64).image.shape
        (3, 64, 64)
    """

    split_kinds = ("random", "official")

    def __init__(self, num_images: int = 2000, seed: int = 0) -> None:
        if num_images < 1 or seed < 0:
            raise ConfigError(f"rooms needs num_images >= 1 and seed >= 0, but got {num_images} and {seed}")
        self.num_images = num_images
        self.seed = seed

    @property
    def info(self) -> DatasetInfo:
        """Tasks, classes, scene types and definitions of the labels."""
        return DatasetInfo("rooms", TASKS, CLASSES, SCENES, notes=dict(NOTES))

    @property
    def fingerprint(self) -> dict[str, object]:
        """Name, generator version, number of images and seed."""
        return {"name": "rooms", "version": VERSION, "num_images": self.num_images, "seed": self.seed}

    def __len__(self) -> int:
        """Number of samples."""
        return self.num_images

    def scene_type(self, index: int) -> int:
        """Index into `SCENES`: each block of ten samples has every scene type once, in random order."""
        block, place = divmod(index, len(SCENES))
        return Dice([VERSION, self.seed, _ORDER, block]).shuffled(range(len(SCENES)))[place]

    def scene(self, index: int) -> Scene:
        """Geometry, light and camera of one sample."""
        return compose(Dice([VERSION, self.seed, _LAYOUT, index]), SCENES[self.scene_type(index)])

    def read(self, index: int, size: FrameLike) -> Sample:
        """Render one sample, see `DataSource.read`."""
        if not 0 <= index < self.num_images:
            raise IndexError(f"sample {index} of {self.num_images}")
        kind, scene = self.scene_type(index), self.scene(index)
        noise = np.random.default_rng([VERSION, self.seed, _NOISE, index])
        image, targets = take(scene, Frame.of(size).size, noise)
        one_hot = np.zeros(len(SCENES), dtype=np.float32)
        one_hot[kind] = 1
        return Sample(image, {task: targets[task] for task in TASKS}, one_hot, f"rooms/{self.seed}/{index:05d}")

    def splits(self, kind: str, seed: int) -> Splits:
        """``random``: 70 / 15 / 15 % by seed. ``official``: the first 60 %, the next 20 %, the last 20 %."""
        count = self.num_images
        if kind == "random":
            held_out = round(0.15 * count)
            return random_split(count, held_out, held_out, seed)
        if kind == "official":
            train, validation, test = np.split(np.arange(count), [round(0.6 * count), round(0.8 * count)])
            return Splits(train, validation, test)
        raise ConfigError(f"rooms has no split {kind!r}. Choices: official, random")
