"""Augmentation and mixing of labelled images, as the settings describe them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mgm.config import DataConfig
from mgm.data.augment import PairedAugmentation
from mgm.data.composites import Composites
from mgm.tasks import label_map_of
from mgm.tasks.base import Task
from mgm.training.seeding import derive_seed
from mgm.types import Batch


def augmentation(config: DataConfig, tasks: dict[str, Task]) -> PairedAugmentation | None:
    """The paired augmentation that the settings describe; None if it is off. Raises `ConfigError` if a setting is out of range."""
    if not config.augment:
        return None
    names = ("flip", "vertical_flip", "quarter_turns", "zoom", "colour", "hue", "blur", "noise")
    return PairedAugmentation(tasks, config.image_size, **{name: getattr(config, name) for name in names})


def strengthening(config: DataConfig, tasks: dict[str, Task]) -> Callable[[Batch, int], Batch]:
    """Strong augmentation, by a seed, of images labelled by the moving average (extra_uses consistency).

    Strong colour changes, a blur of up to a 64th of the shorter side, and CutMix in half of the images, as in UniMatch (Yang et
    al., CVPR 2023). There are no geometric changes, so that the labels stay valid.
    """
    recolour = PairedAugmentation(
        tasks, config.image_size, flip=False, zoom=(1.0, 1.0), colour=0.5, hue=0.1, blur=min(config.size) / 64
    )
    paste = Composites(tasks, "cutmix", share=0.5)
    return lambda batch, seed: paste(recolour(batch, derive_seed(seed, "recolour")), derive_seed(seed, "paste"))


def mixing(config: DataConfig, tasks: dict[str, Task]) -> Composites | None:
    """The mixing of labelled images that the settings describe (`DataConfig.mix`); None if there is none."""
    pieces = mixed_pieces(config, tasks)
    return composites(config, tasks, pieces, config.mix_share) if pieces else None


def composites(config: DataConfig, tasks: dict[str, Task], pieces: str = "classes", share: float = 1.0) -> Composites:
    """Make `Composites` with the settings `DataConfig.mix_count` to `mix_match`, which may raise `ConfigError`."""
    vary = None
    if config.mix_flip or tuple(config.mix_scale) != (1.0, 1.0):
        off = {"vertical_flip": False, "quarter_turns": False, "colour": 0.0, "hue": 0.0, "blur": 0.0, "noise": 0.0}
        vary = augmentation(replace(config, augment=True, flip=config.mix_flip, zoom=config.mix_scale, **off), tasks)
    return Composites(tasks, pieces, share=share, givers=config.mix_count, vary=vary, match=config.mix_match)


def mixed_pieces(config: DataConfig, tasks: Mapping[str, Task | type[Task]]) -> str:
    """What is pasted between labelled images, a key of `mgm.data.composites.PIECES`; empty: nothing."""
    if not config.augment or config.mix == "none":
        return ""
    return ("classes" if label_map_of(tasks) else "cutmix") if config.mix == "auto" else config.mix
