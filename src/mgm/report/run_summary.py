"""The table and the figures of a finished run, made from the files in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mgm.data.files import write_text
from mgm.report.comparison import compare
from mgm.report.figures.curves import curve_figure
from mgm.report.figures.paper import generated_figure
from mgm.report.figures.predictions import prediction_figure
from mgm.report.generation import before_and_after
from mgm.report.tables import CONSTANT, ScoreTable, score_table
from mgm.runs.folder import RunFolder, read_result, seconds_spent
from mgm.runs.images import RunImages
from mgm.runs.saved_generators import stages_with_generator
from mgm.tasks import tasks_for
from mgm.types import DatasetInfo


def draw_run(run: Path) -> None:
    """Write ``table.md`` and, in ``pictures``, ``curves.png``, ``predictions.png`` and, if there is a generator, ``generated.png``.

    Raises:
        RunError: If the run is not finished, or a file cannot be written.
        DataError: If the data no longer exist.
    """
    folder = RunFolder(run)
    table = result_table(read_result(folder.result), folder.info())
    write_text(folder.path / "table.md", table.markdown())
    members = {member.experiment().recipe: member for member in (folder.baseline, folder) if member.finished}
    curve_figure(folder.pictures / "curves.png", {title: member.metrics_log for title, member in members.items()})
    if RunImages.read(folder.images).test:
        prediction_figure(folder.pictures / "predictions.png", compare(members))
    if stages_with_generator(folder):
        generated_figure(folder.pictures / "generated.png", before_and_after(folder))


def results_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The result of the baseline (if there is one) and of the run itself."""
    return [member for member in (result.get("baseline"), result) if member]


def result_table(result: dict[str, Any], info: DatasetInfo) -> ScoreTable:
    """Test scores of the constant predictor, of the baseline (if there is one) and of the run itself."""
    members = results_of(result)
    rows = {CONSTANT: result.get("constant", {}), **{member["recipe"]: member["test"] for member in members}}
    pretrained = {member["recipe"]: member.get("pretrained", "") for member in members}
    return score_table(rows, tasks_for(info, tuple(result["test"])), pretrained=pretrained)


def budget(result: dict[str, Any]) -> str:
    """Numbers of steps of a run and its baseline: ``600 steps each``."""
    ours, theirs = result["steps"], result["baseline"]["steps"]
    text = f"{ours} steps each" if ours == theirs else f"{ours} and {theirs} steps on the labelled images"
    return f"up to {text}" if early_ends(result) else text


def early_ends(result: dict[str, Any]) -> list[str]:
    """One line for each of the run and its baseline that was stopped early (`TrainingConfig.patience`)."""
    return [
        f"{member['recipe']} stopped early: "
        + ", ".join(f"stage {name} at step {at['step']} of {at['of']}" for name, at in member["stopped"].items())
        for member in results_of(result)
        if member.get("stopped")
    ]


def training_time(result: dict[str, Any]) -> str:
    """Training times of a run and its baseline, each with its shared stages, and what both took together; empty if unknown."""
    members = [member for member in reversed(results_of(result)) if "seconds" in member]
    text = ", ".join(f"{member['recipe']} {member['seconds']:.0f} s" for member in members)
    if any(member.get("shared_seconds") for member in members):
        text += f"; {seconds_spent(members):.0f} s in all, because stages that models share are trained only once"
    return f"training time: {text}" if members else ""
