"""A trained run in use: predictions for any photograph, scores on any data, new images from its generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mgm.config import Experiment
from mgm.data import open_source
from mgm.data.images import read_rgb, resize_rgb
from mgm.data.loading import StoreReader
from mgm.data.store import cached_store
from mgm.errors import ConfigError, RunError, unknown
from mgm.experiments.devices import single_device
from mgm.experiments.folder import RunFolder
from mgm.models.base import MultiTaskModel
from mgm.networks.generators import GENERATORS
from mgm.tasks import make_tasks
from mgm.tasks.base import Task
from mgm.training.build import build_model
from mgm.training.checkpoint import load_checkpoint
from mgm.training.evaluate import Scores, evaluate_model
from mgm.training.seeding import random_generator
from mgm.types import DatasetInfo, Predictions


class TrainedModel:
    """The multi-task network of a run, ready to predict.

    Example:
        >>> model = TrainedModel.load("runs/mgm")  # doctest: +SKIP
        >>> values = model.predict("photo.jpg")  # doctest: +SKIP
        >>> values["depth"].shape  # metres, at the photograph's own size  # doctest: +SKIP
        torch.Size([1, 480, 640])
    """

    def __init__(self, experiment: Experiment, info: DatasetInfo, model: MultiTaskModel, device: torch.device) -> None:
        self.experiment = experiment
        self.info = info
        self.tasks: dict[str, Task] = make_tasks(experiment.data.tasks or info.tasks, info.classes)
        self.model = model.to(device).eval().requires_grad_(False)
        self.device = device

    @classmethod
    def load(cls, run: str | Path, device: str = "auto") -> TrainedModel:
        """Read the best weights of a run.

        Raises:
            RunError: If the folder holds no run, or the run has no weights yet.
        """
        folder = RunFolder(Path(run))
        experiment = folder.experiment()
        info = folder.info()
        place = single_device(device)
        tasks = make_tasks(experiment.data.tasks or info.tasks, info.classes)
        state = load_checkpoint(folder.checkpoints / "best.pt", place)
        model = build_model(tasks, experiment.model, experiment.seed)
        try:
            model.load_state_dict(state["model"])
        except (RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{folder.checkpoints / 'best.pt'} does not fit {folder.config} ({reason})") from None
        return cls(experiment, info, model, place)

    @torch.no_grad()
    def predict_batch(self, images: Tensor) -> Predictions:
        """Raw predictions for images ``[B, 3, H, W]`` in (-1, 1), sides a multiple of 16."""
        predictions = self.model(images.to(self.device))
        return {name: prediction.float() for name, prediction in predictions.items()}

    def predict(self, image: str | Path | Image.Image | np.ndarray) -> dict[str, Tensor]:
        """Values of every task for one photograph of any size, at its own size.

        The photograph is squeezed to the square that the network was trained on, as its training images were, and the
        predictions are stretched back.

        Args:
            image: A file, a PIL image, or an ``[H, W, 3]`` uint8 array.

        Returns:
            Task -> value: ``semantic`` int64 ``[H, W]``, others float ``[C, H, W]`` (metres, unit vectors, ...).

        Raises:
            DataError: If the file is no readable image.
        """
        if isinstance(image, str | Path):
            pixels = read_rgb(Path(image))
        else:
            pixels = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
        side = self.experiment.data.image_size
        small = torch.from_numpy(resize_rgb(pixels, side, side)).permute(2, 0, 1)[None].float() / 127.5 - 1
        predictions = self.predict_batch(small)
        size = (pixels.shape[0], pixels.shape[1])
        return {name: task.decode(task.resize(predictions[name], size))[0].cpu() for name, task in self.tasks.items()}


SPLITS = ("train", "validation", "test", "all")


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run and what they were measured on."""

    recipe: str
    info: DatasetInfo
    split: str
    num_images: int
    tasks: dict[str, Task]
    """Tasks that both the run and the data know."""
    scores: Scores


def evaluate_run(run: Path, *, data: str = "", split: str = "", device: str = "auto") -> Evaluation:
    """Score the best model of a run on its own data set or on another one.

    Args:
        run: The run's folder.
        data: Name or path of another data set with the same classes; empty: the run's own.
        split: train, validation, test or all; empty: test for the run's own data, all images of another data set.
        device: Where to compute.

    Raises:
        ConfigError: If the split does not exist, the data sets have no task in common, or the other one has other classes.
    """
    split = split or ("all" if data else "test")
    if split not in SPLITS:
        raise ConfigError(unknown("split", split, SPLITS))
    trained = TrainedModel.load(run, device)
    config = trained.experiment.data
    source = open_source(data or config.data, config.num_images)
    tasks = _common_tasks(trained, source.info)
    reader = StoreReader(cached_store(source, config.image_size, config.cache), tuple(tasks), trained.device)
    if split == "all":
        indices = np.arange(len(reader))
    else:
        indices = getattr(source.splits(config.split, config.split_seed), split)
    size = trained.experiment.training.batch_size
    batches = (reader.batch(indices[start : start + size]) for start in range(0, len(indices), size))
    scores = evaluate_model(trained.model, batches, tasks)
    return Evaluation(trained.experiment.recipe, source.info, split, len(indices), tasks, scores)


def _common_tasks(trained: TrainedModel, info: DatasetInfo) -> dict[str, Task]:
    """The run's tasks that the data have labels for; segmentation has to mean the same in both."""
    tasks = {name: task for name, task in trained.tasks.items() if name in info.tasks}
    if not tasks:
        raise ConfigError(
            f"{info.name} has no labels for what the run learned ({', '.join(trained.tasks)}); it offers {', '.join(info.tasks)}"
        )
    if "semantic" in tasks and info.classes != trained.info.classes:
        raise ConfigError(
            f"{info.name} has other classes than {trained.info.name}, which the run learned; "
            "evaluate on data with the same classes, or train with --tasks that leave semantic out"
        )
    return tasks


def generate(run: Path, num: int, *, stage: str = "", seed: int = 0, device: str = "auto") -> Mapping[str, Tensor]:
    """New images from a run's generator, by scene.

    Args:
        run: The run's folder.
        num: Images per scene (with multi-hot labels: for each of the commonest combinations).
        stage: ``generator`` (before joint training) or ``joint`` (after it); empty: the latest there is.
        seed: Seed of the noise; the same noise serves every stage.
        device: Where to compute.

    Returns:
        Scene name -> ``[num, 3, S, S]`` in (-1, 1).

    Raises:
        RunError: If the run trained no generator.
    """
    folder = RunFolder(run)
    experiment, info = folder.experiment(), folder.info()
    stages = [stage] if stage else ["joint", "generator"]
    paths = [folder.checkpoints / f"generator_after_{name}.pt" for name in stages]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise RunError(f"{run} holds no generator; train one with: mgm train mgm")
    place = single_device(device)
    state = load_checkpoint(path, place)
    config = experiment.model
    network = GENERATORS[config.generator].generator(
        experiment.data.image_size, config.latent_size, max(1, len(info.scenes)), config.generator_width
    )
    network.load_state_dict(state["generator"])
    network.to(place).eval().requires_grad_(False)
    groups = conditioning(state["labels"], info)
    images = {}
    for name, label in groups.items():
        random = random_generator(place, seed, name)
        alike = (state["labels"] == label).all(1).nonzero().flatten()
        pool = alike if len(alike) else torch.arange(len(state["labels"]), device=place)
        chosen = pool[torch.randint(len(pool), (num,), generator=random, device=place)]
        latent = state["latent_means"][chosen] + torch.randn(num, config.latent_size, generator=random, device=place)
        images[name] = network(latent, label.expand(num, -1))
    return images


def conditioning(labels: Tensor, info: DatasetInfo, most: int = 12) -> dict[str, Tensor]:
    """Name -> label row ``[K]``: every scene; with multi-hot labels the commonest combinations."""
    if not info.scenes:
        return {"any": labels[0]}
    if not info.multi_hot:
        return dict(zip(info.scenes, torch.eye(len(info.scenes), device=labels.device), strict=True))
    rows, counts = labels.unique(dim=0, return_counts=True)
    common = rows[counts.argsort(descending=True, stable=True)[:most]]
    return {
        ", ".join(name for name, on in zip(info.scenes, row.tolist(), strict=True) if on) or "none": row
        for row in common
    }
