"""The loaders of a run: for its stages, and for extra images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from mgm.config import Experiment, ModelConfig
from mgm.data.augment import PairedAugmentation, resize
from mgm.data.composites import Composites, paste
from mgm.data.loading import Prefetch, StoreReader, epoch_indices
from mgm.data.vocabulary import namesakes
from mgm.errors import ConfigError
from mgm.functional.distributed import rank, world_size
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.runs.data import ExperimentData, OtherData, augmentation, composites, mixing, other_data, warn_once
from mgm.runs.images import listed
from mgm.runs.saved_generators import saved_generators_loader
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.training.memory_format import in_format, memory_format
from mgm.training.seeding import derive_seed
from mgm.training.trainer import Loader
from mgm.types import IGNORE_INDEX, Batch, Size

UNZOOMED = (1.0, 1.0)


@dataclass(frozen=True)
class RunLoaders:
    """Makes the loaders of a run, for its stages and for extra images (`Loaders`); batches are on ``device``.

    Every loader has its own random streams, so labelled batches are the same whatever other images a recipe uses.
    """

    experiment: Experiment
    data: ExperimentData
    device: torch.device

    def minibatches(self) -> Loader:
        """The labelled minibatches: augmented and mixed; size and zoom may depend on the step (`early_sizes`, `zoom_share`).

        With `pretrain_overlap`, the first ones have images of `pretrain`, too.
        """
        mix = mixing(self.experiment.data, self.data.tasks)
        load = self._loader(self.data.labelled, "labelled", mix=mix, progressive=True)
        if self.experiment.data.pretrain and self.experiment.data.pretrain_overlap:
            load = self._after_pretraining(load)
        return with_used_labels(load, self.experiment.model)

    def generator(self) -> Loader:
        """The labelled images for training the generator, not mixed, since it learns to imitate them."""
        return self._loader(self.data.labelled, "generator")

    def pretraining(self) -> Loader:
        """Batches of the data set that M is pre-trained on."""
        return with_used_labels(self._pretraining, self.experiment.model)

    @cached_property
    def _pretraining(self) -> Loader:
        """Batches of `pretrain`, first for that stage and then for the overlap, whose zoom is that of the labelled images."""
        experiment, other = self.experiment, self.data.pretraining
        assert other is not None
        begun = experiment.pretrain_steps

        def zoom(step: int) -> tuple[float, float]:
            return experiment.data.zoom if step < begun else zoom_at(experiment, step - begun)

        return translated_loader(experiment, self.data, other, "pretrain", self.device, zoom)

    def _after_pretraining(self, load: Loader) -> Loader:
        """Replace a linearly decreasing share of the images by images of `pretrain` (`DataConfig.pretrain_overlap`).

        The images of `pretrain` continue where pre-training ended.
        """
        training, tasks = self.experiment.training, self.data.tasks
        alone = training.steps - round(training.steps * training.joint_share)
        last, begun = self.experiment.data.pretrain_overlap * alone, self.experiment.pretrain_steps
        before = self._pretraining

        def load_both(step: int, count: int) -> Batch:
            ours = load(step, count)
            kept = round(len(ours) * step / last) if step < last else len(ours)
            if kept == len(ours):
                return ours
            theirs = before(begun + step, count)
            if theirs.images.shape != ours.images.shape:
                theirs = resize(theirs, (ours.images.shape[2], ours.images.shape[3]), tasks)
            # evenly spread, so that micro-batches have as many
            counted = torch.arange(len(ours) + 1, device=ours.images.device) * kept // len(ours)
            return _replaced(ours, theirs, counted.diff() == 0, tasks)

        return load_both

    def labelled(self) -> Loader:
        """The labelled images, in a different order and with different augmentation than in the minibatches."""
        return self._loader(self.data.labelled, "again")

    def weakly_labelled(self) -> Loader:
        """Training images of which only the scene label is used."""
        return self._loader(self.data.weak, "weak", keep_targets=False)

    def composites(self) -> Loader:
        """Labelled images with parts of others pasted into them."""
        return self._loader(
            self.data.labelled, "composites", composites=composites(self.experiment.data, self.data.tasks)
        )

    def rooms(self) -> Loader:
        """Rendered rooms."""
        other = other_data(self.experiment.data, self.data, "rooms", "extra_images")
        zoom = self.experiment.data.zoom
        return translated_loader(self.experiment, self.data, other, "rooms", self.device, lambda _step: zoom)

    def saved_generators(self) -> Loader:
        """Images synthesized by the generators of earlier runs."""
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
        """A loader of some of the images, which augments them as configured and then mixes them."""
        experiment, data = self.experiment, self.data
        augments = _augmentations(experiment, data.tasks)
        draw = draws(data.reader, indices, derive_seed(experiment.seed, stream, "order"), targets=keep_targets)

        def load(step: int, count: int) -> Batch:
            batch = draw(step, count)
            if composites:
                batch = composites(batch, seed=derive_seed(experiment.seed, stream, "composites", step, rank()))
            size = size_at(experiment, step) if progressive else experiment.data.size
            augment = augments[size, zoom_at(experiment, step) if progressive else experiment.data.zoom]
            if augment is None and size != experiment.data.size:
                batch = resize(batch, size, data.tasks)
            if augment:
                batch = augment(batch, seed=derive_seed(experiment.seed, stream, "augment", step, rank()))
            if mix:
                batch = mix(batch, seed=derive_seed(experiment.seed, stream, "mix", step, rank()))
            return batch

        return load


def _augmentations(
    experiment: Experiment, tasks: dict[str, Task]
) -> dict[tuple[Size, tuple[float, float]], PairedAugmentation | None]:
    """Size and zoom -> augmentation, for all that a run uses in turn."""
    return {
        (size, zoom): augmentation(replace(experiment.data, image_size=size, zoom=zoom), tasks)
        for size in progressive_sizes(experiment)
        for zoom in (experiment.data.zoom, UNZOOMED)
    }


def _replaced(ours: Batch, theirs: Batch, which: torch.Tensor, tasks: dict[str, Task]) -> Batch:
    """The batch ``ours``, with the images ``which`` ``[B]`` bool and their labels from ``theirs``, which may lack tasks."""
    height, width = ours.images.shape[2:]
    unlabelled = {
        name: tasks[name].missing(len(ours), height, width).to(ours.images.device)
        for name in ours.targets.keys() - theirs.targets.keys()
    }
    theirs = replace(theirs, targets=theirs.targets | unlabelled)
    batch = paste(ours, theirs, which[:, None, None].expand(-1, height, width))
    unmixed = None if ours.unmixed is None else torch.where(which[:, None, None, None], theirs.images, ours.unmixed)
    return replace(batch, scene=torch.where(which[:, None], theirs.scene, ours.scene), unmixed=unmixed)


def make_loaders(experiment: Experiment, data: ExperimentData, device: torch.device) -> dict[str, Loader]:
    """Make all loaders of a run: name (`Stage.data`) -> loader, and ``extra`` for extra images unless a generator makes them."""
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
    """Stride in pixels at which labels are used in training."""
    return model.loss_stride if model.decoder == "pyramid" else 1


def with_used_labels(load: Loader, model: ModelConfig) -> Loader:
    """Wrap a loader to subsample its labels by `ModelConfig.loss_stride`.

    A pixel of a prediction at half resolution lies between several labels. Which of them is used changes from step to step.
    """
    stride = label_stride(model)
    return load if stride == 1 else lambda step, count: load(step, count).every(stride, step % stride)


def size_at(experiment: Experiment, step: int) -> Size:
    """Size of the labelled images at a step of M, counted over all stages (progressive resizing; Tan and Le, EfficientNetV2, 2021).

    Sizes change during the steps before joint training, also for recipes without joint training, so that step t of a baseline has
    the same image size as step t of any other recipe.
    """
    training = experiment.training
    sizes = progressive_sizes(experiment)
    alone = training.steps - round(training.steps * training.joint_share)
    return sizes[min(len(sizes) * step // max(alone, 1), len(sizes) - 1)]


def zoom_at(experiment: Experiment, step: int) -> tuple[float, float]:
    """Zoom of the labelled images at a step of M, counted over all stages.

    Zoomed images show everything larger and nearer than the images that are predicted, so a network that cannot see the zoom learns
    too small depths. Hence the last steps see whole images (Touvron et al., "Fixing the train-test resolution discrepancy", 2019).
    """
    zoomed = step < experiment.data.zoom_share * experiment.training.steps
    return experiment.data.zoom if zoomed else UNZOOMED


def progressive_sizes(experiment: Experiment) -> tuple[Size, ...]:
    """Sizes of the labelled images in order: those of `TrainingConfig.early_sizes`, with the aspect ratio of the last.

    Raises:
        ConfigError: If a size with this aspect ratio would not have whole pixels.
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
    """A loader of this process's share of the samples ``indices`` in random order; prefetches if they are read from disk.

    Samples are repeated if there are fewer than the batch needs.
    """

    def load(step: int, count: int) -> Batch:
        pool = np.tile(indices, -(-count // len(indices)))
        rows = epoch_indices(pool, count, step, seed, rank=rank(), world_size=world_size())
        return reader.batch(rows, targets=targets)

    return load if reader.is_resident else Prefetch(load)


def translated_loader(
    experiment: Experiment,
    data: ExperimentData,
    other: OtherData,
    stream: str,
    device: torch.device,
    zoom: Callable[[int], tuple[float, float]],
) -> Loader:
    """A loader of another data set, with its labels translated to those of the experiment; logs which labels are used.

    Tasks with the same name and meaning are used unchanged. If classes differ, those with the same name are matched, unless no
    training image of the experiment contains them (NYUv2's otherprop, which is never labelled). Pixels of other classes, and scenes
    that the experiment does not have, become unlabelled. ``zoom`` is that of a step.

    Raises:
        ConfigError: If the data sets have no label in common that is learned.
    """
    info = other.info
    theirs = tasks_for(info)
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
        raise ConfigError(f"{info.name} and {data.info.name} have no task in common that {experiment.recipe} learns")
    scenes = namesakes(info.scenes, data.info.scenes)
    scene_table = torch.zeros(len(info.scenes), max(1, data.num_scenes), device=device)
    scene_table[list(scenes), list(scenes.values())] = 1.0
    warn_once(
        f"{info.name} has labels for {data.info.name}: {', '.join(said)}; scenes: {len(scenes)} of {len(info.scenes)}"
        + (f". Left out, since they mean something else: {', '.join(left_out)}" if left_out else "")
    )
    reader = StoreReader(other.store, tuple(tasks), device)
    augments = _augmentations(experiment, tasks)
    draw = draws(reader, other.indices, derive_seed(experiment.seed, stream, "order"))

    def load(step: int, count: int) -> Batch:
        batch = draw(step, count)
        translated = {task: table[batch.targets[task]] for task, table in tables.items()}
        scene = batch.scene.nan_to_num(0.0) @ scene_table
        scene = torch.where(scene.sum(1, keepdim=True) > 0, scene, torch.nan)
        batch = replace(batch, targets=batch.targets | translated, scene=scene)
        augment = augments[experiment.data.size, zoom(step)]
        return augment(batch, seed=derive_seed(experiment.seed, stream, "augment", step, rank())) if augment else batch

    return load


def shared_classes(data: ExperimentData, task: str, other: Task) -> dict[int, int]:
    """Class index of another data set's task -> index of the experiment's class with the same name, if a training image has it."""
    shared = namesakes(other.classes, data.tasks[task].classes)
    unseen = set(shared.values())
    for index in data.splits.train:
        if not unseen:
            break
        unseen -= set(np.unique(data.reader.store.arrays[task][index]).tolist())
    return {theirs: ours for theirs, ours in shared.items() if ours not in unseen}
