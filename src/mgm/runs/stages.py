"""Sharing of trained stages between runs: the state after a stage is saved, and other runs start from it.

Stage 1 (M alone) is the same for a baseline, MGM and its ablations with the same seed; stage 2 for all with the same generator. A
run that starts from a saved stage is equal to one that trains it itself (bitwise on a CPU), since random numbers depend only on the
seed, the name of the stage and the step.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mgm.config import Experiment
from mgm.errors import ConfigError
from mgm.functional.distributed import world_size
from mgm.runs.data import ExperimentData
from mgm.runs.provenance import source_digest, versions
from mgm.training.checkpoint import TrainingState, load_checkpoint
from mgm.training.optimizers import optimizer_names
from mgm.training.trainer import Trainer
from mgm.training.updates import Stage

METHOD_FIELDS = ("losses", "balance", "sparsity_weight", "sharing_weight")
"""Settings of the method that affect stages before joint training, besides the updates themselves."""
NOT_DECISIVE = ("log", "checkpoint_every", "gradients_every", "flip_average")
"""Settings of model and training that do not affect the state after a stage."""
LOG = "metrics.jsonl"
_STAGE = re.compile(r"[0-9a-f]{24}|\..*")


def check_stages_folder(root: Path) -> None:
    """Raise `ConfigError` if a folder for shared stages holds anything else, such as somebody's data."""
    strangers = (
        sorted(entry.name for entry in root.iterdir() if not _STAGE.fullmatch(entry.name)) if root.is_dir() else []
    )
    if strangers:
        raise ConfigError(
            f"stages {root}: holds something else ({strangers[0]}); give a new folder, or one of shared stages"
        )


class SharedStages:
    """A folder with states after stages, each under a hash of everything that determines it.

    Sharing only saves time, so a state that cannot be written is skipped with a warning.
    """

    def __init__(self, root: Path, experiment: Experiment, data: ExperimentData, trainer: Trainer) -> None:
        self.root = root
        self._settings = _settings(experiment, data, trainer.fabric.device.type)
        self._schedule = trainer.stages

    def place(self, count: int) -> Path:
        """Folder of the state after the first ``count`` stages."""
        done = self._schedule[:count]
        mode = str(self._settings["training"]["optimizer_step"])
        used = {name for stage in done for name in optimizer_names(stage.updates, mode)}
        # an optimiser has the parameters of all networks that it trains in any stage of the run
        owners = sorted(
            (name, network)
            for stage in self._schedule
            for name, networks in optimizer_names(stage.updates, mode).items()
            for network in networks
            if name in used
        )
        described = {"settings": self._settings, "stages": [_described(stage) for stage in done], "owners": owners}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()
        return self.root / digest[:24]

    def keep(self, trainer: Trainer) -> None:
        """Save the state of a trainer that has just finished a stage and written its checkpoint, unless it was the last stage."""
        count = trainer.position.stage
        place = self.place(count)
        if count >= len(self._schedule) or place.exists() or not trainer.fabric.is_global_zero:
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=self.root, prefix=".begun-", ignore_cleanup_errors=True) as begun:
                copy = Path(begun) / "state"
                copy.mkdir()
                for file in trainer.folder.glob("*.pt"):
                    shutil.copy2(file, copy)
                if trainer.log.path:
                    shutil.copy2(trainer.log.path, copy / LOG)
                copy.rename(place)  # atomic; fails if another run was faster
        except OSError as error:
            if not place.exists():
                print(f"the stage is not shared: cannot write {self.root} ({error.strerror or error})", file=sys.stderr)

    def start(self, trainer: Trainer) -> bool:
        """Load the latest saved state into a new trainer. Returns whether there was one."""
        for count in range(len(self._schedule) - 1, 0, -1):
            place = self.place(count)
            if not place.is_dir():
                continue
            trainer.adopt(load_checkpoint(place / "last.pt", TrainingState, trainer.fabric.device))
            if trainer.fabric.is_global_zero:
                for file in place.glob("*.pt"):
                    if file.name != "last.pt":
                        shutil.copy2(file, trainer.folder)
                if trainer.log.path:
                    shutil.copy2(place / LOG, trainer.log.path)
                    trainer.log.cut(trainer.position.log_size)
            trainer.save()
            return True
        return False


def _settings(experiment: Experiment, data: ExperimentData, device: str) -> dict[str, dict[str, Any]]:
    model, training = (
        {name: value for name, value in asdict(settings).items() if name not in NOT_DECISIVE}
        for settings in (experiment.model, experiment.training)
    )
    method = {name: getattr(experiment.method, name) for name in METHOD_FIELDS}
    about = {
        "seed": experiment.seed,
        "images": hashlib.sha256(data.labelled.tobytes() + data.splits.validation.tobytes()).hexdigest(),
        "name": data.info.name,
        "data": data.reader.store.manifest["checksums"],
        "pretrain": data.pretraining and data.pretraining.fingerprint,
        "own_tasks": data.info.own_tasks,  # their definitions matter, even if the arrays are the same
        "device": device,
        "processes": world_size(),
    }
    code = {"source": source_digest(), "versions": versions()}
    of_data = asdict(experiment.data)
    return {"data": of_data, "model": model, "method": method, "training": training, "run": about, "code": code}


def _described(stage: Stage) -> list[object]:
    described: list[object] = [stage.name, stage.steps, stage.batch_size, stage.data]
    for update in stage.updates:
        loss = update.loss.func if isinstance(update.loss, partial) else update.loss
        title, gradient = getattr(loss, "__qualname__", str(loss)), type(update.gradient).__name__
        about = [update.name, update.trains, title, update.source, update.weight, sorted(update.statistics), gradient]
        described.append(about)
    return described
