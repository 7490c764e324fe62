"""The loaders of a run: for its stages, and for extra images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from mgm.config import Experiment, ModelConfig
from mgm.data.augment import resize
from mgm.data.composites import Composites
from mgm.data.loading import Prefetch, StoreReader, epoch_indices
from mgm.errors import ConfigError
from mgm.functional.distributed import rank, world_size
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.runs.augmentation import augmentation, composites, mixing
from mgm.runs.data import ExperimentData
from mgm.runs.other_data import OtherData, other_data, replaced, translation
from mgm.runs.saved_generators import saved_generators_loader
from mgm.training.memory_format import in_format, memory_format
from mgm.training.seeding import derive_seed
from mgm.training.trainer import Loader
from mgm.types import Batch, Size

Zoom = tuple[float, float]
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
        load = self._loader(
            "labelled",
            self.data.labelled,
            mix=mixing(self.experiment.data, self.data.tasks),
            size=lambda step: size_at(self.experiment, step),
            zoom=lambda step: zoom_at(self.experiment, step),
        )
        if self.experiment.data.pretrain and self.experiment.data.pretrain_overlap:
            load = self._after_pretraining(load)
        return with_used_labels(load, self.experiment.model)

    def generator(self) -> Loader:
        """The labelled images for training the generator, not mixed, since it learns to imitate them."""
        return self._loader("generator", self.data.labelled)

    def pretraining(self) -> Loader:
        """Batches of the data set that M is pre-trained on."""
        return with_used_labels(self._pretraining, self.experiment.model)

    def labelled(self) -> Loader:
        """The labelled images, in a different order and with different augmentation than in the minibatches."""
        return self._loader("again", self.data.labelled)

    def weakly_labelled(self) -> Loader:
        """Training images of which only the scene label is used."""
        return self._loader("weak", self.data.weak, keep_targets=False)

    def composites(self) -> Loader:
        """Labelled images with parts of others pasted into them."""
        pasted = composites(self.experiment.data, self.data.tasks)
        return self._loader("composites", self.data.labelled, composites=pasted)

    def rooms(self) -> Loader:
        """Rendered rooms."""
        other = other_data(self.experiment.data, self.data, "rooms", "extra_images")
        return self._loader("rooms", other.indices, other=other)

    def saved_generators(self) -> Loader:
        """Images synthesized by the generators of earlier runs."""
        return saved_generators_loader(self.experiment, self.data, self.device)

    @cached_property
    def _pretraining(self) -> Loader:
        """Batches of `pretrain`, first for that stage and then for the overlap, whose zoom is that of the labelled images."""
        experiment, other = self.experiment, self.data.pretraining
        assert other is not None
        begun = experiment.pretrain_steps
        return self._loader(
            "pretrain",
            other.indices,
            other=other,
            zoom=lambda step: experiment.data.zoom if step < begun else zoom_at(experiment, step - begun),
        )

    def _after_pretraining(self, load: Loader) -> Loader:
        """Replace a linearly decreasing share of the images by images of `pretrain` (`DataConfig.pretrain_overlap`).

        The images of `pretrain` continue where pre-training ended.
        """
        tasks, before, begun = self.data.tasks, self._pretraining, self.experiment.pretrain_steps
        last = self.experiment.data.pretrain_overlap * self.experiment.training.steps_alone

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
            return replaced(ours, theirs, counted.diff() == 0, tasks)

        return load_both

    def _loader(
        self,
        stream: str,
        indices: np.ndarray,
        *,
        other: OtherData | None = None,
        keep_targets: bool = True,
        composites: Composites | None = None,
        mix: Composites | None = None,
        size: Callable[[int], Size] | None = None,
        zoom: Callable[[int], Zoom] | None = None,
    ) -> Loader:
        """A loader of some images of the run's data or, translated, of an ``other`` data set.

        They are made into composites, augmented as configured, and then mixed; ``size`` and ``zoom`` are those of a step.
        """
        experiment, config = self.experiment, self.experiment.data
        tasks, reader, translate = self.data.tasks, self.data.reader, None
        if other:
            tasks, translate = translation(other, self.data, experiment.recipe, self.device)
            reader = StoreReader(other.store, tuple(tasks), self.device)
        draw = draws(reader, indices, derive_seed(experiment.seed, stream, "order"), targets=keep_targets)
        augments = {
            (image_size, factor): augmentation(replace(config, image_size=image_size, zoom=factor), tasks)
            for image_size in progressive_sizes(experiment)
            for factor in (config.zoom, UNZOOMED)
        }

        def load(step: int, count: int) -> Batch:
            def seed(purpose: str) -> int:
                return derive_seed(experiment.seed, stream, purpose, step, rank())

            batch = draw(step, count)
            if translate:
                batch = translate(batch)
            if composites:
                batch = composites(batch, seed=seed("composites"))
            wanted = size(step) if size else config.size
            augment = augments[wanted, zoom(step) if zoom else config.zoom]
            if augment:
                batch = augment(batch, seed=seed("augment"))
            elif wanted != config.size:
                batch = resize(batch, wanted, tasks)
            return mix(batch, seed=seed("mix")) if mix else batch

        return load


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
    sizes = progressive_sizes(experiment)
    return sizes[min(len(sizes) * step // max(experiment.training.steps_alone, 1), len(sizes) - 1)]


def zoom_at(experiment: Experiment, step: int) -> Zoom:
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
