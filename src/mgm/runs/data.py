"""The data of an experiment: split, choice of labelled images, checks, augmentation and mixing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from mgm.config import DataConfig, Experiment
from mgm.data import open_source
from mgm.data.augment import PairedAugmentation
from mgm.data.base import DataSource, Splits
from mgm.data.composites import Composites
from mgm.data.loading import StoreReader
from mgm.data.manifest import KEPT_SEEDS, info_to_plain
from mgm.data.rooms import RoomsSource
from mgm.data.splits import fold_split, hold_out_labelled, keep_together, labelled_subset, limit_training
from mgm.data.store import Store, cached_store, rows_of
from mgm.errors import ConfigError, DataError
from mgm.functional.distributed import rank, world_size
from mgm.runs.images import check_channels
from mgm.runs.scenes import count_kinds, objects_of, scenes_of_classes
from mgm.tasks import label_map_of, task_kinds, tasks_for
from mgm.tasks.base import Task
from mgm.tasks.files import HINT_255
from mgm.training.seeding import derive_seed
from mgm.types import IGNORE_INDEX, Batch, DatasetInfo

EVERYTHING = "all"
"""Name of the split in which all images are for training, without validation and test sets."""
FOLD_VALIDATION = 0.15
"""Fraction of the labelled images used for validation in each fold."""


@dataclass(frozen=True)
class OtherData:
    """Another data set with labels to learn from, converted like the run's own."""

    info: DatasetInfo
    store: Store
    indices: np.ndarray
    """Its training images that are not held out by the run."""

    @property
    def digests(self) -> np.ndarray:
        """Digests of the training images, see `Store.digests`."""
        return self.store.digests[self.indices]

    @property
    def fingerprint(self) -> str:
        """Hash of images, labels, their meaning, and which of them are used."""
        about = json.dumps([self.store.manifest["checksums"], info_to_plain(self.info)], sort_keys=True)
        return hashlib.sha256(about.encode() + self.indices.tobytes()).hexdigest()


@dataclass(frozen=True)
class ExperimentData:
    """The samples of an experiment, their split, and the choice of labelled images.

    Args:
        info: Description of the data set.
        tasks: Task name -> task, the tasks to learn.
        reader: Reads batches of samples by index.
        splits: Training, validation and test indices.
        labelled: Training indices whose labels are used; each has labels for at least one task.
        weak: Other training indices, of which only the scene label is used.
        derived_scenes: Whether the scene labels were derived from the segmentation.
        pretraining: The data set of `DataConfig.pretrain`.
        shape: Height and width of the first image as it was before conversion; None if unknown.
    """

    info: DatasetInfo
    tasks: dict[str, Task]
    reader: StoreReader
    splits: Splits
    labelled: np.ndarray
    weak: np.ndarray
    derived_scenes: bool = False
    pretraining: OtherData | None = None
    shape: tuple[int, int] | None = None

    @property
    def num_scenes(self) -> int:
        """Number of scene classes."""
        return len(self.info.scenes)

    def batches(self, indices: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """Yield this process's share of the samples in order, without augmentation."""
        own = indices[rank() :: world_size()]
        for start in range(0, len(own), batch_size):
            yield self.reader.batch(own[start : start + batch_size])

    def constants(self, batch_size: int) -> dict[str, torch.Tensor]:
        """Task -> best constant prediction ``[C]`` for the labelled images."""
        batches = [
            self.reader.batch(self.labelled[start : start + batch_size]).targets
            for start in range(0, len(self.labelled), batch_size)
        ]
        return {name: task.constant(batch[name] for batch in batches) for name, task in self.tasks.items()}


def load_data(experiment: Experiment, device: torch.device | str) -> ExperimentData:
    """Open, convert (once, into the cache) and split the data of an experiment; small data are kept on ``device`` as a whole.

    Raises:
        ConfigError: If the settings do not match the data.
        DataError: If the data are missing, damaged, or too few.
    """
    config = experiment.data
    source = open_source(config.data, config.num_images)
    kind, _, _ = parse_split(config.split)
    if kind != EVERYTHING:
        source.splits(kind, config.split_seed)  # raises for an impossible split before anything is converted
    info = source.info
    kinds = task_kinds(info.own_tasks)
    if missing := [name for name in config.tasks if name in kinds and name not in info.tasks]:
        raise ConfigError(f"{info.name} has no labels for {', '.join(missing)}; it offers {', '.join(info.tasks)}")
    tasks = tasks_for(info, config.tasks, experiment.method.losses)
    for warning in (*source.warnings(), *source.doubts()):
        warn_once(f"{info.name}: {warning}")
    # with several processes, one converts and the others wait
    store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    if skipped := store.manifest["skipped"]:
        warn_once(f"{info.name}: {len(skipped)} bad samples are left out, such as {skipped[0]}")
    has = store.labelled(tasks)
    splits = make_splits(store, source, config, has)
    if not isinstance(source, RoomsSource):  # rooms are limited when they are rendered
        splits = limit_training(splits, config.num_images, config.split_seed)
    derived = not info.scenes and label_map_of(tasks)
    info, scenes = scenes_of_classes(store, info, derived or objects_of(config, info))
    reader = StoreReader(store, tuple(tasks), device, scenes=scenes)
    candidates = splits.train[has.sum(axis=1)[splits.train] > 0]
    if not len(candidates):
        raise DataError(f"{info.name}: no training image has a label of {', '.join(tasks)}")
    # stratify by the data set's own scenes, so that the choice does not depend on `weak_labels`
    groups = strata(np.asarray(store.arrays["scene"]), candidates, source.info.multi_hot)
    labelled = labelled_subset(candidates, groups, config.fraction, config.split_seed, has[candidates])
    weak = weak_subset(splits.train, labelled, config.weak_fraction, config.split_seed)
    shape = None
    with suppress(DataError):  # an image that is left out
        shape = source.shape(0)
    data = ExperimentData(info, tasks, reader, splits, labelled, weak, bool(derived), shape=shape)
    if config.pretrain:
        data = replace(data, pretraining=other_data(config, data, config.pretrain, "pretrain"))
    _check_amounts(experiment, data)
    _check_labels(config, data, has)
    mixing(experiment.data, tasks)
    if config.augment and config.hue and info.image.channels != 3:
        raise ConfigError(
            f"hue is {config.hue:g}, a turn of colours, and images of {info.name} have {info.image.channels} channels; use --hue 0"
        )
    return data


def other_data(config: DataConfig, data: ExperimentData, name: str, setting: str) -> OtherData:
    """Open and convert another data set for a run; its images that the run validates or tests on are left out, by content.

    Args:
        config: Settings of the run's data.
        data: The run's data.
        name: Name or path of the other data set.
        setting: The setting that names it, for messages.

    Raises:
        ConfigError: If its images have other channels than the run's.
        DataError: If it is missing or damaged, or nothing of it is left.
    """
    # seed 1 gives other rooms than those of the experiment, whose test images must not be trained on
    source = RoomsSource(config.num_rooms, seed=1) if name == "rooms" else open_source(name)
    check_channels(setting, source.info, data.info)
    store = cached_store(source, config.frame, config.cache, skip_bad=config.skip_bad)
    train = rows_of(store, source).splits("random", config.split_seed).train
    held_out = data.reader.store.digests[np.concatenate([data.splits.validation, data.splits.test])]
    kept = train[~np.isin(store.digests[train], held_out)]
    if len(kept) < len(train):
        warn_once(
            f"{setting} {source.info.name}: {len(train) - len(kept)} of {len(train)} images are left out, since this run validates "
            "or tests on them"
        )
    if not len(kept):
        raise DataError(
            f"{setting} {name}: no image is left that this run does not validate or test on; take other data"
        )
    return OtherData(source.info, store, kept)


def parse_split(split: str) -> tuple[str, int, int]:
    """Parse a split setting such as ``random:2/5`` to its kind, fold and number of folds; ``random`` has fold 0 of 0.

    Raises:
        ConfigError: If the fold is not valid.
    """
    kind, colon, place = split.partition(":")
    fold, _, folds = place.partition("/")
    if not colon:
        return kind, 0, 0
    numbers = fold.isdecimal() and folds.isdecimal() and 1 <= int(fold) <= int(folds) > 1
    if not numbers or kind in ("", EVERYTHING):
        raise ConfigError(f"split is {split!r}; folds are written like random:2/5, the second of five")
    return kind, int(fold), int(folds)


def make_splits(store: Store, source: DataSource, config: DataConfig, has: np.ndarray) -> Splits:
    """Make the split of the settings: one of the source's, a fold, or all images for training.

    Folds keep images together that no split of their kind separates, and put no unlabelled images into test sets. Random splits
    keep exact copies of an image in the same part. In other splits, and where the data set fixes a part, test images that are
    copies of training or validation images are left out, with a warning. ``has`` ``[N, tasks]`` bool says which image has labels
    for which task.

    Raises:
        DataError: If a fixed test set consists of copies only, or there are too few different images for the folds.
    """
    source = rows_of(store, source)
    kind, fold, folds = parse_split(config.split)
    if kind == EVERYTHING:
        none = np.zeros(0, np.int64)
        return Splits(np.arange(len(source)), none, none)
    _, first, inverse = np.unique(store.digests, return_index=True, return_inverse=True)
    originals = first[inverse]  # index of the first image with the same pixels
    if not folds:
        splits = source.splits(kind, config.split_seed)
        drawn = kind == "random" and not _has_given_part(source)
        if drawn:  # the source knows which label files there are, the store which of them hold values
            splits = hold_out_labelled(splits, store.labelled(store.info.tasks), config.split_seed)
        if len(first) == len(store):
            return splits
        if not drawn:
            return _without_copies(store, splits, originals)
        try:
            return keep_together(splits, originals)
        except DataError as error:
            warn_once(
                f"{store.info.name}: {error}; its parts share pictures, so test scores are of pictures that were trained on"
            )
            return splits
    labelled = np.flatnonzero(has.any(axis=1))
    groups = originals[labelled]
    if kind != "random":
        held_out = np.zeros((KEPT_SEEDS, len(source)), np.int8)
        for seed in range(KEPT_SEEDS):
            made = source.splits(kind, seed)
            held_out[seed, made.validation], held_out[seed, made.test] = 1, 2
        groups = np.unique(held_out[:, labelled], axis=1, return_inverse=True)[1].reshape(-1)
    found = fold_split(groups, fold, folds, FOLD_VALIDATION, config.split_seed, has[labelled])
    validation, test = labelled[found.validation], labelled[found.test]
    train = np.setdiff1d(np.arange(len(source)), np.concatenate([validation, test]))
    return _without_copies(store, Splits(train, validation, test), originals)


def _has_given_part(source: DataSource) -> bool:
    """Whether random splits keep a validation or test set that the data set fixes."""
    drawn = [source.splits("random", seed) for seed in range(KEPT_SEEDS)]
    parts = ([getattr(splits, part) for splits in drawn] for part in ("validation", "test"))
    return any(all(np.array_equal(part, of_one[0]) for part in of_one) for of_one in parts)


def _without_copies(store: Store, splits: Splits, originals: np.ndarray) -> Splits:
    """Remove test images that are copies of training or validation images, with a warning; `DataError` if none is left."""
    used = np.concatenate([splits.train, splits.validation])
    found: list[str] = []
    left: list[np.ndarray] = []
    for part, indices, others, so in (
        ("test", splits.test, used, "they are not scored"),
        ("validation", splits.validation, splits.train, "the best step is chosen on what was trained on"),
    ):
        copied = np.isin(originals[indices], originals[others])
        left.append(indices[~copied])
        if copied.any():
            copy = indices[copied][0]
            pair = f"{store.names[copy]} = {store.names[others[originals[others] == originals[copy]][0]]}"
            found.append(f"{copied.sum()} {part} image(s) are exact copies of others that the run sees ({pair}); {so}")
    if len(splits.test) and not len(left[0]):
        raise DataError(f"{store.info.name}: {found[0]}, and no other is left; give test images of their own")
    for text in found:
        warn_once(f"{store.info.name}: {text}; take one of each pair out (mgm data inspect lists them)")
    return Splits(splits.train, splits.validation, left[0])


def weak_subset(train: np.ndarray, labelled: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw ``fraction * len(train)`` images at random from the training images that are not labelled, or all of them; sorted."""
    others = np.setdiff1d(train, labelled)
    count = min(len(others), round(fraction * len(train)))
    return np.sort(np.random.default_rng((seed, 1)).permutation(others)[:count])


def strata(scenes: np.ndarray, indices: np.ndarray, multi_hot: bool) -> np.ndarray:
    """Stratum ``[N]`` of each sample, by which labelled subsets are balanced: its scene.

    Multi-hot labels form a single stratum, since most combinations occur only once.
    """
    if multi_hot or not scenes.shape[1]:
        return np.zeros(len(indices), dtype=np.int64)
    known = np.nan_to_num(scenes[indices], nan=-1.0)
    return np.unique(known, axis=0, return_inverse=True)[1].reshape(-1)


def _check_amounts(experiment: Experiment, data: ExperimentData) -> None:
    """Raise `DataError` or `ConfigError` if there are too few images or scene labels for the method."""
    method, training = experiment.method, experiment.training
    if len(data.labelled) < training.batch_size:
        raise DataError(
            f"{data.info.name}: {len(data.labelled)} labelled training images are too few for batches of "
            f"{training.batch_size}; lower --batch-size{' or raise --fraction' if experiment.data.fraction < 1 else ''}"
        )
    if method.extra_images == "weak" and not len(data.weak):
        raise ConfigError(
            "weakly labelled images are what --fraction leaves over, and it is 1; use --fraction 0.5, say"
        )
    if method.refinement == "none":
        return
    if data.num_scenes and not data.derived_scenes and count_kinds(data.reader.scenes[data.labelled]) < 2:
        raise ConfigError(
            f"{data.info.name}: all labelled images have the same scene label, from which the refinement network learns "
            "nothing; use --refinement none, or data with several scenes"
        )


def _check_labels(config: DataConfig, data: ExperimentData, has: np.ndarray) -> None:
    """Raise `DataError` unless every task has labels of several classes to learn; warn if it has none to be scored on.

    ``has`` ``[N, tasks]`` bool says which image has labels for which task.
    """
    name = data.info.name
    for column, (task, kind) in enumerate(data.tasks.items()):
        rest = [other for other in data.tasks if other != task]
        others = f"leave it out: --tasks {' '.join(rest)}" if rest else "there is nothing to learn from these data"
        without = int((~has[data.labelled, column]).sum())
        if without == len(data.labelled):
            more = "raise --fraction, or " if config.fraction < 1 and has[data.splits.train, column].any() else ""
            raise DataError(
                f"{name}: none of the {len(data.labelled)} labelled training images has a label of {task}; {more}{others}"
            )
        if kind.categorical and len(seen := _first_classes(data.reader.store.arrays[task], data.labelled)) < 2:
            only = kind.classes[seen.pop()]
            raise DataError(
                f"{name}: all labels of {task} for training are {only!r}, a single class{HINT_255}; else {others}"
            )
        if 2 * without >= len(data.labelled):
            warn_once(
                f"{name}: {without} of the {len(data.labelled)} labelled training images are without a label of {task}"
            )
        parts = {"validation": data.splits.validation, "test": data.splits.test}
        lacking = [part for part, indices in parts.items() if len(indices) and not has[indices, column].any()]
        if lacking:
            warn_once(f"{name}: no {' or '.join(lacking)} image has a label of {task}, so it is not measured there")


def _first_classes(labels: np.ndarray, indices: np.ndarray) -> set[int]:
    """Collect the classes that occur in some label maps, stopping as soon as there are at least two."""
    found: set[int] = set()
    for index in indices:
        found |= set(np.unique(labels[index]).tolist()) - {IGNORE_INDEX}
        if len(found) > 1:
            break
    return found


@cache
def warn_once(text: str) -> None:
    """Log a warning in the first process, only once per text."""
    if rank() == 0:
        logging.getLogger("mgm").warning(text)


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
