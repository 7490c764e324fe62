"""The table and the figures of a finished run, made from the files in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgm.data.files import write_text
from mgm.report.comparison import compare
from mgm.report.figures.curves import curve_figure
from mgm.report.figures.generated import generated_figure
from mgm.report.figures.predictions import prediction_figure
from mgm.report.generation import before_and_after, has_generator
from mgm.report.tables import CONSTANT, score_table
from mgm.runs.folder import RunFolder, read_result, seconds_spent
from mgm.runs.images import RunImages
from mgm.tasks import tasks_for
from mgm.training.evaluate import Scores


def draw_run(run: Path) -> None:
    """Write ``table.md`` and, in ``pictures``, ``curves.png``, ``predictions.png`` and, if there is a generator, ``generated.png``.

    Raises:
        RunError: If the run is not finished, or a file cannot be written.
        DataError: If the data no longer exist.
    """
    folder = RunFolder(run)
    result = read_result(folder.result)
    tasks = tasks_for(folder.info(), tuple(result["test"]))
    table = score_table(result_rows(result), tasks, pretrained=result_pretraining(result))
    write_text(folder.path / "table.md", table.markdown())
    members = {member.experiment().recipe: member for member in (folder.baseline, folder) if member.finished}
    curve_figure(folder.pictures / "curves.png", {title: member.metrics_log for title, member in members.items()})
    if RunImages.read(folder.images).test:
        prediction_figure(folder.pictures / "predictions.png", compare(members))
    if has_generator(folder):
        generated_figure(folder.pictures / "generated.png", before_and_after(folder))


def result_rows(result: dict[str, Any]) -> dict[str, Scores]:
    """Rows of a run's table of test scores: constant predictor, baseline (if there is one), the run itself."""
    baseline = result.get("baseline")
    rows = {CONSTANT: result.get("constant", {})}
    if baseline:
        rows[baseline["recipe"]] = baseline["test"]
    return {**rows, result["recipe"]: result["test"]}


def early_ends(result: dict[str, Any]) -> list[str]:
    """One line for each of the run and its baseline that was stopped early (`TrainingConfig.patience`)."""
    return [
        f"{member['recipe']} stopped early: "
        + ", ".join(f"stage {name} at step {at['step']} of {at['of']}" for name, at in member["stopped"].items())
        for member in (result.get("baseline"), result)
        if member and member.get("stopped")
    ]


def training_time(result: dict[str, Any]) -> str:
    """Training times of a run and its baseline, each with its shared stages, and what both took together; empty if unknown."""
    members = [member for member in (result, result.get("baseline")) if member and "seconds" in member]
    text = ", ".join(f"{member['recipe']} {member['seconds']:.0f} s" for member in members)
    if any(member.get("shared_seconds") for member in members):
        text += f"; {seconds_spent(members):.0f} s in all, because stages that models share are trained only once"
    return f"training time: {text}" if members else ""


def result_pretraining(result: dict[str, Any]) -> dict[str, str]:
    """Row of `result_rows` -> data that its encoder was pre-trained on, for rows with a pre-trained encoder."""
    members = [member for member in (result.get("baseline"), result) if member]
    return {member["recipe"]: member["pretrained"] for member in members if member.get("pretrained")}
