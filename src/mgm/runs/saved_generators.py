"""Trained generators of earlier runs: loading, drawing images, and their use as extra images of another run (MGM-Combine)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ConfigDict
from torch import Tensor
from typing_extensions import TypedDict

from mgm.config import Experiment
from mgm.errors import ConfigError, RunError, choose
from mgm.functional.distributed import rank, world_size
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.networks.generators import GENERATORS
from mgm.networks.generators.base import Generator
from mgm.runs.data import ExperimentData
from mgm.runs.folder import RunFolder
from mgm.runs.images import SHOWN_NAMES, check_channels, listed
from mgm.runs.starting_weights import finished_run
from mgm.training.checkpoint import Weights, load_checkpoint, rebuild
from mgm.training.seeding import random_generator
from mgm.training.trainer import Loader
from mgm.types import Batch

STAGES = {"joint": "after joint training", "generator": "before joint training"}
"""Stage that saves a generator -> description; latest first."""


def generator_path(folder: RunFolder, stage: str) -> Path:
    """File of the generator that a stage saved."""
    return folder.checkpoints / f"generator_after_{stage}.pt"


def stages_with_generator(folder: RunFolder) -> tuple[str, ...]:
    """The stages of `STAGES` whose generator the run has saved, latest first."""
    return tuple(stage for stage in STAGES if generator_path(folder, stage).exists())


class GeneratorState(TypedDict):
    """Content of ``generator_after_STAGE.pt``; see `SavedGenerator`."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # pyright: ignore[reportGeneralTypeIssues]
    generator: Weights
    latent_means: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SavedGenerator:
    """A frozen generator, with scene labels and latent means of some of its training images."""

    network: Generator
    latent_means: Tensor
    """``[N, L]``: outputs of the embedding layer for the images; zeros for a generator without one."""
    labels: Tensor
    """``[N, max(1, K)]``: scene labels of the images."""

    @classmethod
    def load(cls, run: Path, device: torch.device, stage: str = "") -> SavedGenerator:
        """Load a run's generator of a ``stage``: ``generator`` (before joint training), ``joint`` (after it); empty: the latest.

        Raises:
            RunError: If the run has saved no generator, or its file is damaged.
        """
        folder = RunFolder(run)
        experiment, info = folder.experiment(), folder.info()
        present = [name for name in ([stage] if stage else STAGES) if name in stages_with_generator(folder)]
        if not present:
            begun = not folder.finished and EXTRA_IMAGES[experiment.method.extra_images].generator != "none"
            remedy = f"it was stopped before: mgm train --resume {run}" if begun else "train one with: mgm train mgm"
            raise RunError(f"{run} holds no generator; {remedy}")
        state = load_checkpoint(generator_path(folder, present[0]), GeneratorState, device)
        config = experiment.model
        kind = choose("generator", config.generator, GENERATORS).generator
        num_labels = max(1, len(info.scenes))

        arguments = (config.latent_size, num_labels, config.generator_width, config.image_channels)
        network = rebuild(lambda: kind(experiment.data.image_size, *arguments), state["generator"], folder.path)
        means, labels = state["latent_means"], state["labels"]
        shapes = tuple(means.shape), tuple(labels.shape)
        if not labels.numel() or shapes != ((len(labels), config.latent_size), (len(labels), num_labels)):
            raise RunError(f"the latent means and labels in {run} do not fit its settings ({shapes}); train it again")
        network.to(device).eval().requires_grad_(False)
        return cls(network, means, labels)

    def images(self, rows: Tensor, labels: Tensor, random: torch.Generator) -> Tensor:
        """Generate images ``[B, C, H, W]`` in (-1, 1) from ``z = latent mean + noise``.

        ``rows`` ``[B]`` are indices of the latent means to use, ``labels`` ``[B, max(1, K)]`` the scene labels of the images.
        """
        means = self.latent_means[rows]
        return self.network(means + torch.randn(means.shape, generator=random, device=means.device), labels)

    def draw(self, num: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Generate images ``[num, C, H, W]`` in (-1, 1) with labels ``[num, max(1, K)]`` of randomly chosen training images."""
        rows = torch.randint(len(self.labels), (num,), generator=random, device=self.labels.device)
        return self.images(rows, self.labels[rows], random), self.labels[rows]


def saved_generators_loader(experiment: Experiment, data: ExperimentData) -> Loader:
    """A loader of extra images from the generators of ``generator_runs``, equally many from each.

    Paper, Table 15, MGM-Combine: "equivalently sampled data" of the generators of three single-task models, which are not trained
    further.

    Raises:
        ConfigError: If a run has other scenes, channels, or image sizes.
        RunError: If there is no such run, it is not finished, or it has no generator.
    """
    device = data.reader.device
    generators = [_fitting_generator(run, experiment, data) for run in experiment.method.generator_runs]

    @torch.no_grad()
    def load(step: int, count: int) -> Batch:
        shares = even_shares(count // world_size(), len(generators), step + rank())
        drawn = [
            generator.draw(share, random_generator(device, experiment.seed, "saved_generators", number, step, rank()))
            for number, (generator, share) in enumerate(zip(generators, shares, strict=True))
            if share
        ]
        images, labels = zip(*drawn, strict=True)
        return Batch(torch.cat(images), {}, torch.cat(labels))

    return load


def even_shares(total: int, parts: int, turn: int) -> list[int]:
    """Split ``total`` into parts that differ by at most one; which parts are larger rotates with ``turn``."""
    share, rest = divmod(total, parts)
    return [share + ((part - turn) % parts < rest) for part in range(parts)]


def _fitting_generator(run: str, experiment: Experiment, data: ExperimentData) -> SavedGenerator:
    folder = finished_run(run, "generator_runs")
    theirs, info = folder.experiment().data, folder.info()
    if theirs.frame != experiment.data.frame:
        raise ConfigError(
            f"generator_runs {run}: it makes images of {theirs.frame.in_words}, this run has {experiment.data.frame.in_words}; "
            f"use --image-size {theirs.image_size} --aspect {theirs.aspect}"
        )
    check_channels(f"generator_runs {run}", info, data.info)
    if (info.scenes, info.multi_hot) != (data.info.scenes, data.info.multi_hot):
        raise ConfigError(
            f"generator_runs {run}: its images show scenes of {info.name} ({_listed(info.scenes)}), this run has "
            f"{_listed(data.info.scenes)}; use a run on the same data and with the same --weak-labels"
        )
    return SavedGenerator.load(folder.path, data.reader.device)


def _listed(scenes: tuple[str, ...]) -> str:
    number = f" {len(scenes)} in all" if len(scenes) > SHOWN_NAMES else ""
    return (listed(scenes) or "no scene labels") + number
