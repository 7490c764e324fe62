"""Run folders without a training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mgm.config import Experiment
from mgm.data import open_source
from mgm.data.store import cached_store
from mgm.errors import MgmError
from mgm.method.networks import build_model
from mgm.method.recipes import make_experiment
from mgm.networks.generators import GENERATORS
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder
from mgm.runs.images import RunImages
from mgm.runs.provenance import Beginning
from mgm.runs.settings import to_dict
from mgm.runs.splits import make_splits
from mgm.runs.starting_weights import with_channels
from mgm.tasks import tasks_for
from mgm.training.checkpoint import save_checkpoint
from mgm.training.metrics_log import MetricsLog
from mgm.types import DatasetInfo

CLASSES = ("wall", "floor", "<b>thing</b>")
INFO = DatasetInfo("rooms", ("semantic", "depth", "normal"), CLASSES, ("attic", "cellar_room"))


def begin_run(folder: RunFolder, experiment: Experiment, info: DatasetInfo) -> None:
    """Begin a run in its folder; where its data are, all training images are labelled."""
    begun = Beginning("mgm train", baseline=False, minutes=0.0, world_size=1, settings=to_dict(experiment))
    config = experiment.data
    try:
        source = open_source(config.data, config.num_images)
    except MgmError:
        images = RunImages({}, {}, {}, {}, {}, {})
    else:
        store = cached_store(source, config.frame)
        splits = make_splits(store, source, config, store.labelled(info.tasks))
        images = RunImages.of(store, splits, splits.train, np.zeros(0, np.int64))
        if config.pretrain and (other := load_data(experiment, "cpu").pretraining):
            images = replace(images, pretrain=other.fingerprint)
    folder.create(experiment, info, begun, images).release()


def write_run(
    path: Path,
    *,
    info: DatasetInfo = INFO,
    seed: int = 0,
    data: str = "rooms",
    stages: tuple[str, ...] = (),
    **settings: Any,
) -> Path:
    """A run folder whose networks have random weights: what a page needs of a training, in no time.

    ``settings`` are those of `DataConfig`.
    """
    experiment = make_experiment("mgm", "tiny")
    experiment = replace(
        experiment, seed=seed, data=replace(experiment.data, data=data, num_images=12, tasks=info.tasks, **settings)
    )
    experiment = with_channels(experiment, info)
    folder = RunFolder(path)
    begin_run(folder, experiment, info)
    model = build_model(tasks_for(info), experiment.model, seed)
    if "depth" in info.tasks:  # before the camera, whatever the random weights are
        torch.nn.init.constant_(list(model.get_submodule("decoders.depth").parameters())[-1], 3.0)
    save_checkpoint(folder.checkpoints / "best.pt", {"model": model.state_dict(), "step": 6})
    config, kinds = experiment.model, max(1, len(info.scenes))
    for number, stage in enumerate(stages):
        torch.manual_seed(number)
        network = GENERATORS[config.generator].generator(
            experiment.data.image_size, config.latent_size, kinds, config.generator_width, config.image_channels
        )
        state = {
            "generator": network.state_dict(),
            "latent_means": torch.zeros(4, config.latent_size),
            "labels": torch.eye(kinds)[torch.arange(4) % kinds],
        }
        save_checkpoint(folder.checkpoints / f"generator_after_{stage}.pt", state)
    return path


def write_log(path: Path, *, joint: bool = True, scale: float = 1.0, nan: bool = False) -> Path:
    """A metrics log of one stage, or of three; its scores grow with the steps."""
    log = MetricsLog(path)
    for step in (20, 40):
        log.write(stage="multi_task", step=step, losses={"task": scale * 100.0 / step})
        score = float("nan") if nan else scale * step / 100
        log.write(stage="multi_task", step=step, validation={"semantic": {"miou": score}, "depth": {}}, score=score)
    if joint:
        log.write(stage="generator", step=10, losses={"discriminator": 1.0, "generator": -0.5})
        log.write(stage="joint", step=20, losses={f"loss {number}": 0.01 * 10**number for number in range(6)})
        log.write(stage="joint", step=20, validation={"semantic": {"miou": 0.9}, "depth": {"abs_error_m": 0.5}})
    return path


def pixels(path: Path) -> np.ndarray:
    """``[H, W, 3]``: what a picture file shows."""
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))
