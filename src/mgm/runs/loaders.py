"""The loaders of a run: for its stages, and for extra images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from mgm.config import Experiment, ModelConfig
from mgm.data.augment import resize
from mgm.data.composites import Composites
from mgm.data.loading import Prefetch, StoreReader, epoch_indices
from mgm.errors import ConfigError
from mgm.functional.distributed import rank, world_size
from mgm.runs.augmentation import augmentation, composites, mixing
from mgm.runs.data import ExperimentData
from mgm.runs.other_data import OtherData, other_data, replaced, translation
from mgm.runs.saved_generators import saved_generators_loader
from mgm.tasks.base import Task
from mgm.training.memory_format import in_format, memory_format
from mgm.training.seeding import derive_seed
from mgm.training.trainer import Loader
from mgm.types import Batch, Size

Zoom = tuple[float, float]
UNZOOMED = (1.0, 1.0)


def make_loaders(experiment: Experiment, data: ExperimentData) -> dict[str, Loader]:
    """Make all loaders of a run: name (`Stage.data`) -> loader, and ``extra`` for extra images unless a generator makes them.

    Every loader has its own random streams, so labelled batches are the same whatever other images a recipe uses.
    """
    config, tasks, begun = experiment.data, data.tasks, experiment.pretrain_steps
    load = partial(_stored_images, experiment, data)
    loaders = {
        "labelled": load(
            "labelled",
            data.labelled,
            mix=mixing(config, tasks),
            size=partial(size_at, experiment),
            zoom=partial(zoom_at, experiment),
        ),
        # not mixed, since the generator learns to imitate them, but zoomed in all steps, since it sees few images many times
        "generator": load("generator", data.labelled, zoom=lambda step: config.zoom),
    }
    if data.pretraining:

        def zoom(step: int) -> Zoom:
            """In pre-training all images are zoomed, in the overlap as many as of the labelled ones."""
            return config.zoom if step < begun else zoom_at(experiment, step - begun)

        loaders["pretrain"] = load("pretrain", data.pretraining, zoom=zoom)
        if config.pretrain_overlap:
            loaders["labelled"] = _overlap(experiment, tasks, loaders["labelled"], loaders["pretrain"])
        loaders["pretrain"] = with_used_labels(loaders["pretrain"], experiment.model)
    loaders["labelled"] = with_used_labels(loaders["labelled"], experiment.model)

    def joint_zoom(step: int) -> Zoom:
        """Extra images are zoomed in the same steps as the labelled ones; ``step`` counts those of joint training."""
        return zoom_at(experiment, experiment.training.steps_alone + step)

    load = partial(load, zoom=joint_zoom)
    extra: dict[str, Callable[[], Loader]] = {
        "labelled": lambda: load("again", data.labelled),
        "weak": lambda: load("weak", data.weak, keep_targets=False),
        "composites": lambda: load("composites", data.labelled, composites=composites(config, tasks)),
        "rooms": lambda: load("rooms", other_data(config, data, "rooms", "extra_images")),
        "saved_generators": lambda: saved_generators_loader(experiment, data),
    }
    if make := extra.get(experiment.method.extra_images):
        loaders["extra"] = make()
    stored = memory_format(experiment.training, data.reader.device)
    return {name: in_format(loader, stored) for name, loader in loaders.items()}


def _overlap(experiment: Experiment, tasks: dict[str, Task], labelled: Loader, pretraining: Loader) -> Loader:
    """Replace a linearly decreasing share of the labelled images by those after the last ones of pre-training."""
    last, begun = experiment.data.pretrain_overlap * experiment.training.steps_alone, experiment.pretrain_steps

    def load_both(step: int, count: int) -> Batch:
        ours = labelled(step, count)
        kept = round(len(ours) * step / last) if step < last else len(ours)
        if kept == len(ours):
            return ours
        theirs = pretraining(begun + step, count)
        if theirs.images.shape != ours.images.shape:
            theirs = resize(theirs, (ours.images.shape[2], ours.images.shape[3]), tasks)
        # evenly spread, so that micro-batches have as many
        counted = torch.arange(len(ours) + 1, device=ours.images.device) * kept // len(ours)
        return replaced(ours, theirs, counted.diff() == 0, tasks)

    return load_both


def _stored_images(
    experiment: Experiment,
    data: ExperimentData,
    stream: str,
    images: np.ndarray | OtherData,
    *,
    zoom: Callable[[int], Zoom],
    keep_targets: bool = True,
    composites: Composites | None = None,
    mix: Composites | None = None,
    size: Callable[[int], Size] | None = None,
) -> Loader:
    """A loader of some ``images`` of the run's data, by index, or of another data set, with translated labels.

    They are made into composites, augmented as configured, and then mixed; ``size`` and ``zoom`` are those of a step.
    """
    config, tasks, reader, translate = experiment.data, data.tasks, data.reader, None
    if isinstance(images, OtherData):
        tasks, translate = translation(images, data, experiment.recipe)
        reader, images = StoreReader(images.store, tuple(tasks), reader.device), images.indices
    draw = draws(reader, images, derive_seed(experiment.seed, stream, "order"), targets=keep_targets)
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
        augment = augments[wanted, zoom(step)]
        if augment:
            batch = augment(batch, seed=seed("augment"))
        elif wanted != config.size:
            batch = resize(batch, wanted, tasks)
        return mix(batch, seed=seed("mix")) if mix else batch

    return load


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
