"""The table and the figures of a finished run, made from what its folder holds."""

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
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.images import RunImages
from mgm.tasks import tasks_for
from mgm.training.evaluate import Scores


def draw_run(run: Path) -> None:
    """Write ``table.md`` and, in ``pictures``, ``curves.png``, ``predictions.png`` and, with a generator, ``generated.png``.

    Raises:
        RunError: If the run is not finished, or a file cannot be written.
        DataError: If the data are no longer there.
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
    """Rows of a run's table on the test set: constant predictor, baseline (where there is one), the run itself."""
    baseline = result.get("baseline")
    rows = {CONSTANT: result.get("constant", {})}
    if baseline:
        rows[baseline["recipe"]] = baseline["test"]
    return {**rows, result["recipe"]: result["test"]}


def early_ends(result: dict[str, Any]) -> list[str]:
    """Where a run and its baseline ended before their steps were done, a line each (`TrainingConfig.patience`)."""
    return [
        f"{member['recipe']} ended early: "
        + ", ".join(f"stage {name} at step {at['step']} of {at['of']}" for name, at in member["stopped"].items())
        for member in (result.get("baseline"), result)
        if member and member.get("stopped")
    ]


def result_pretraining(result: dict[str, Any]) -> dict[str, str]:
    """Row of `result_rows` -> what its encoder was pre-trained on; rows from scratch are absent."""
    members = [member for member in (result.get("baseline"), result) if member]
    return {member["recipe"]: member["pretrained"] for member in members if member.get("pretrained")}
