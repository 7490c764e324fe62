"""Table and pictures of a run, made from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgm.report.comparison import compare
from mgm.report.curves import curves
from mgm.report.figures import draw_before_and_after
from mgm.report.predictions import prediction_sheet
from mgm.report.synthesis import has_generator
from mgm.report.tables import comparison_markdown
from mgm.runs.folder import RunFolder, read_result
from mgm.tasks import make_tasks
from mgm.training.checkpoint import write_atomically
from mgm.training.evaluate import Scores


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


def result_pretraining(result: dict[str, Any]) -> dict[str, str]:
    """Row of `result_rows` -> what its encoder was pre-trained on; rows from scratch are absent."""
    members = [member for member in (result.get("baseline"), result) if member]
    return {member["recipe"]: member["pretrained"] for member in members if member.get("pretrained")}


def write_table(folder: RunFolder) -> None:
    """The final table as Markdown, to be pasted where people read it."""
    result = read_result(folder.result)
    tasks = make_tasks(tuple(result["test"]), folder.info().classes)
    text = comparison_markdown(result_rows(result), tasks, pretrained=result_pretraining(result))
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
    shown = compare(members(folder))
    path = folder.pictures / "predictions.png"
    prediction_sheet(path, shown.images, shown.targets, shown.predictions, shown.tasks, names=shown.names)


def draw_generated(folder: RunFolder) -> None:
    """Images by scene, before and after joint training, from the same noise; nothing without a generator."""
    if has_generator(folder):
        draw_before_and_after(folder, folder.pictures / "generated.png")
