"""The batches of a run: of its stages, and of the sources of extra images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from mgm.config import Experiment, ModelConfig
from mgm.data import open_source
from mgm.data.augment import resize
from mgm.data.composites import Composites
from mgm.data.loading import Prefetch, StoreReader, epoch_indices
from mgm.data.rooms import RoomsSource
from mgm.data.store import cached_store
from mgm.data.vocabulary import namesakes
from mgm.errors import ConfigError
from mgm.functional.distributed import rank, world_size
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.runs.data import ExperimentData, augmentation, composites, mixing, warn_once
from mgm.runs.images import check_channels, listed
from mgm.runs.saved_generators import saved_generators_loader
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.training.memory_format import in_format, memory_format
from mgm.training.seeding import derive_seed
from mgm.training.trainer import Loader
from mgm.types import IGNORE_INDEX, Batch, Size


@dataclass(frozen=True)
class RunLoaders:
    """Makes the loaders of a run: those of the stages, and those of the sources of extra images (`Loaders`).

    Every loader draws from its own random streams, so the labelled batches are the same whatever else a recipe uses.

    Args:
        experiment: Settings.
        data: Images, split, tasks.
        device: Where generators of earlier runs compute.
    """

    experiment: Experiment
    data: ExperimentData
    device: torch.device

    def minibatches(self) -> Loader:
        """The labelled images of every step: mixed, at sizes that may grow (`TrainingConfig.early_sizes`)."""
        mix = mixing(self.experiment.data, self.data.tasks)
        load = self._loader(self.data.labelled, "labelled", mix=mix, progressive=True)
        return with_used_labels(load, self.experiment.model)

    def generator(self) -> Loader:
        """The labelled images for the generator: unmixed, since it learns what images look like."""
        return self._loader(self.data.labelled, "generator")

    def pretraining(self) -> Loader:
        """Batches of the data set that M is trained on first."""
        load = foreign_loader(self.experiment, self.data, self.experiment.data.pretrain, "pretrain", self.device)
        return with_used_labels(load, self.experiment.model)

    def labelled(self) -> Loader:
        """The labelled images, in another order and with other augmentation than in the minibatches."""
        return self._loader(self.data.labelled, "again")

    def weakly_labelled(self) -> Loader:
        """Training images of which the scene label alone is used."""
        return self._loader(self.data.weak, "weak", keep_targets=False)

    def composites(self) -> Loader:
        """Labelled images with parts of others pasted into them."""
        return self._loader(
            self.data.labelled, "composites", composites=composites(self.experiment.data, self.data.tasks)
        )

    def rooms(self) -> Loader:
        """Rendered rooms."""
        return foreign_loader(self.experiment, self.data, "rooms", "rooms", self.device)

    def saved_generators(self) -> Loader:
        """Images of the generators of earlier runs."""
        return saved_generators_loader(self.experiment, self.data, self.device)

    def _loader(
        self,
        indices: np.ndarray,
        stream: str,
        *,
        keep_targets: bool = True,
        composites: Composites | None = None,
        mix: Composites | None = None,
        progressive: bool = False,
    ) -> Loader:
        """Batches of some of the images, augmented if the experiment augments, then mixed."""
        experiment, data = self.experiment, self.data
        sizes = progressive_sizes(experiment)
        augments = {size: augmentation(replace(experiment.data, image_size=size), data.tasks) for size in sizes}
        draw = draws(data.reader, indices, derive_seed(experiment.seed, stream, "order"), targets=keep_targets)

        def load(step: int, count: int) -> Batch:
            batch = draw(step, count)
            if composites:
                batch = composites(batch, seed=derive_seed(experiment.seed, stream, "composites", step, rank()))
            size = size_at(experiment, step) if progressive else experiment.data.size
            augment = augments[size]
            if augment is None and size != experiment.data.size:
                batch = resize(batch, size, data.tasks)
            if augment:
                batch = augment(batch, seed=derive_seed(experiment.seed, stream, "augment", step, rank()))
            if mix:
                batch = mix(batch, seed=derive_seed(experiment.seed, stream, "mix", step, rank()))
            return batch

        return load


def make_loaders(experiment: Experiment, data: ExperimentData, device: torch.device) -> dict[str, Loader]:
    """Name -> batches by step: those that stages ask for (`Stage.data`), and ``extra`` where the run loads extra images."""
    make = RunLoaders(experiment, data, device)
    loaders = {"labelled": make.minibatches(), "generator": make.generator()}
    source = EXTRA_IMAGES[experiment.method.extra_images]
    if source.loader:
        loaders["extra"] = source.loader(make)
    if experiment.data.pretrain:
        loaders["pretrain"] = make.pretraining()
    stored = memory_format(experiment.training, device)
    return {name: in_format(load, stored) for name, load in loaders.items()}


def label_stride(model: ModelConfig) -> int:
    """Every how manyeth pixel of the labels is used along each side."""
    return model.loss_stride if model.decoder == "pyramid" else 1


def with_used_labels(load: Loader, model: ModelConfig) -> Loader:
    """Batches with the labels that `ModelConfig.loss_stride` leaves.

    A pixel of a prediction at half the resolution lies between the labels that it could be held against: the choice
    changes from step to step.
    """
    stride = label_stride(model)
    return load if stride == 1 else lambda step, count: load(step, count).every(stride, step % stride)


def size_at(experiment: Experiment, step: int) -> Size:
    """Size of the labelled images of an update of M, counted over all stages (progressive resizing).

    As in Tan and Le (EfficientNetV2, 2021). The sizes change within the share of the steps that comes before joint training,
    also where a recipe has none: step t of a baseline sees images of the size that step t of any other recipe sees.
    """
    training = experiment.training
    sizes = progressive_sizes(experiment)
    alone = training.steps - round(training.steps * training.joint_share)
    return sizes[min(len(sizes) * step // max(alone, 1), len(sizes) - 1)]


def progressive_sizes(experiment: Experiment) -> tuple[Size, ...]:
    """Sizes of the labelled images in their order: those of `TrainingConfig.early_sizes`, in the shape of the last.

    Raises:
        ConfigError: If there is none of that shape.
    """
    height, width = experiment.data.size
    shorter = min(height, width)
    for side in experiment.training.early_sizes:
        if height * side % shorter or width * side % shorter:
            raise ConfigError(
                f"early_sizes has {side}; no image of the shape of {experiment.data.image_size} has a shorter side of {side} pixels"
            )
    early = [(height * side // shorter, width * side // shorter) for side in experiment.training.early_sizes]
    return (*early, experiment.data.size)


def draws(reader: StoreReader, indices: np.ndarray, seed: int, *, targets: bool = True) -> Loader:
    """Batches of some of the samples by step, read ahead where they come from disk."""

    def load(step: int, count: int) -> Batch:
        return reader.batch(_draw(indices, count, step, seed), targets=targets)

    return load if reader.is_resident else Prefetch(load)


def _draw(indices: np.ndarray, count: int, step: int, seed: int) -> np.ndarray:
    """This process' share of a step's samples; few samples are repeated to fill a large batch."""
    pool = np.tile(indices, -(-count // len(indices)))
    return epoch_indices(pool, count, step, seed, rank=rank(), world_size=world_size())


def foreign_loader(
    experiment: Experiment, data: ExperimentData, name: str, stream: str, device: torch.device
) -> Loader:
    """Batches of another data set, with the labels that mean something in the experiment's; says which those are.

    Tasks of the same name and meaning are taken as they are. Of other classes those of the same name count, unless no training
    image of the experiment shows them (NYUv2's otherprop, which is never labelled); pixels of the others are without a label, like
    scenes that the experiment's data do not know.

    Raises:
        ConfigError: If the data sets have no label in common that is learned.
    """
    # other rooms than those of the experiment itself, whose test images must not be seen in training
    source = RoomsSource(experiment.data.num_rooms, seed=1) if name == "rooms" else open_source(name)
    check_channels("pretrain" if stream == "pretrain" else "extra_images", source.info, data.info)
    theirs = tasks_for(source.info)
    said: list[str] = []
    tables: dict[str, torch.Tensor] = {}
    tasks: dict[str, Task] = {}
    for task, kind in data.tasks.items():
        if task not in theirs:
            continue
        if kind.comparable(theirs[task]):
            said.append(task)
        elif shared := shared_classes(data, task, theirs[task]):
            tables[task] = torch.full((IGNORE_INDEX + 1,), IGNORE_INDEX, device=device)
            tables[task][list(shared)] = torch.tensor(list(shared.values()), device=device)
            others = [title for index, title in enumerate(theirs[task].classes) if index not in shared]
            said.append(f"{task} ({len(shared)} classes by name{f'; not {listed(others)}' if others else ''})")
        else:
            continue
        tasks[task] = kind
    left_out = [task for task in data.tasks if task in theirs and task not in tasks]
    if not tasks:
        raise ConfigError(f"{name} and {data.info.name} have no task in common that {experiment.recipe} learns")
    scenes = namesakes(source.info.scenes, data.info.scenes)
    warn_once(
        f"{name} has labels for {data.info.name}: {', '.join(said)}; scenes: {len(scenes)} of {len(source.info.scenes)}"
        + (f". Left out, since they mean something else: {', '.join(left_out)}" if left_out else "")
    )
    store = cached_store(source, experiment.data.frame, experiment.data.cache)
    reader = StoreReader(store, tuple(tasks), device)
    indices = source.splits("random", experiment.data.split_seed).train
    augment = augmentation(experiment.data, tasks)
    draw = draws(reader, indices, derive_seed(experiment.seed, stream, "order"))

    def load(step: int, count: int) -> Batch:
        batch = draw(step, count)
        translated = {task: table[batch.targets[task]] for task, table in tables.items()}
        scene = translate_scenes(batch.scene, source.info.scenes, data.info.scenes)
        batch = replace(batch, targets=batch.targets | translated, scene=scene)
        return augment(batch, seed=derive_seed(experiment.seed, stream, "augment", step, rank())) if augment else batch

    return load


def shared_classes(data: ExperimentData, task: str, other: Task) -> dict[int, int]:
    """Class of another data set's task -> the class of the same name, if a training image shows it."""
    shared = namesakes(other.classes, data.tasks[task].classes)
    unseen = set(shared.values())
    for index in data.splits.train:
        if not unseen:
            break
        unseen -= set(np.unique(data.reader.store.arrays[task][index]).tolist())
    return {theirs: ours for theirs, ours in shared.items() if ours not in unseen}


def translate_scenes(scene: torch.Tensor, names: tuple[str, ...], wanted: tuple[str, ...]) -> torch.Tensor:
    """Labels over ``names`` as labels over ``wanted``; NaN for an image whose scene has no namesake.

    Args:
        scene: ``[B, len(names)]`` one-hot.
        names: Scenes of the data set that the labels come from.
        wanted: Scenes of the data set that they are meant for.

    Returns:
        ``[B, max(1, len(wanted))]``.
    """
    table = torch.zeros(len(names), max(1, len(wanted)), device=scene.device)
    for row, column in namesakes(names, wanted).items():
        table[row, column] = 1.0
    translated = scene.nan_to_num(0.0) @ table
    return torch.where(translated.sum(1, keepdim=True) > 0, translated, torch.nan)
