"""Table and pictures of a run, made from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgm.experiments.data import load_data
from mgm.experiments.folder import RunFolder, read_json
from mgm.experiments.trained import TrainedModel, generate
from mgm.report.curves import curves
from mgm.report.generated import generated_sheet
from mgm.report.predictions import prediction_sheet
from mgm.report.tables import comparison_markdown
from mgm.tasks import make_tasks
from mgm.training.checkpoint import write_atomically
from mgm.training.evaluate import Scores
from mgm.types import Predictions

SHOWN_IMAGES = 6
SHOWN_PER_SCENE = 4


def draw_run(run: Path) -> None:
    """Write a run's table and pictures from what its folder holds.

    ``table.md``, and in ``pictures`` ``predictions.png`` (F17), ``generated.png`` (F18) and ``curves.png``.
    """
    folder = RunFolder(run)
    write_table(folder)
    draw_curves(folder)
    draw_predictions(folder)
    draw_generated(folder)


def result_rows(result: dict[str, Any]) -> dict[str, Scores]:
    """Rows of a run's table on the test set: constant predictor, baseline (where there is one), the run itself."""
    baseline = result.get("baseline")
    rows = {"constant": result["constant"]}
    if baseline:
        rows[baseline["recipe"]] = baseline["test"]
    return {**rows, result["recipe"]: result["test"]}


def write_table(folder: RunFolder) -> None:
    """The final table as Markdown, to be pasted where people read it."""
    result = read_json(folder.result)
    tasks = make_tasks(tuple(result["test"]), folder.info().classes)
    text = comparison_markdown(result_rows(result), tasks)
    write_atomically(folder.path / "table.md", lambda file: file.write(text.encode()))


def members(folder: RunFolder) -> dict[str, RunFolder]:
    """Title -> folder of the baseline, where there is one, and of the run itself."""
    shown = [folder.baseline, folder] if folder.baseline.finished else [folder]
    return {member.experiment().recipe: member for member in shown}


def draw_curves(folder: RunFolder) -> None:
    """Losses and validation scores against updates."""
    curves(folder.pictures / "curves.png", {title: member.journal for title, member in members(folder).items()})


def draw_predictions(folder: RunFolder) -> None:
    """Test images with the predictions of the run and its baseline, error maps, and the truth."""
    models = {title: TrainedModel.load(member.path, "cpu") for title, member in members(folder).items()}
    data = load_data(folder.experiment(), torch.device("cpu"), for_training=False)
    # spread over the test set, the same for every run on these data
    spread = np.linspace(0, len(data.splits.test) - 1, min(SHOWN_IMAGES, len(data.splits.test))).round().astype(int)
    batch = data.reader.batch(data.splits.test[spread])
    predictions: dict[str, Predictions] = {title: model.predict_batch(batch.images) for title, model in models.items()}
    names = [scene_name(row, data.info.scenes) for row in batch.scene]
    prediction_sheet(
        folder.pictures / "predictions.png", batch.images, batch.targets, predictions, data.tasks, names=names
    )


def draw_generated(folder: RunFolder) -> None:
    """Images by scene, before and after joint training, from the same noise; nothing without a generator."""
    titles = {"generator": "before joint training", "joint": "after joint training"}
    groups = {
        title: generate(folder.path, SHOWN_PER_SCENE, stage=stage, device="cpu")
        for stage, title in titles.items()
        if (folder.checkpoints / f"generator_after_{stage}.pt").exists()
    }
    if groups:
        scenes = list(next(iter(groups.values())))
        rows = {title: torch.cat(list(images.values())) for title, images in groups.items()}
        generated_sheet(folder.pictures / "generated.png", rows, scenes, SHOWN_PER_SCENE)


def scene_name(row: Tensor, scenes: tuple[str, ...]) -> str:
    """The scene, or all objects, of a label row ``[K]``; empty where unknown."""
    return ", ".join(name.replace("_", " ") for name, value in zip(scenes, row.tolist(), strict=False) if value == 1)
