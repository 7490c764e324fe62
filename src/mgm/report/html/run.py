"""The HTML page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.errors import RunError
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.method.recipes import RECIPES
from mgm.report.comparison import compare
from mgm.report.figures.curves import draw_gradients, draw_losses, draw_scores
from mgm.report.generation import annotate_generated, before_and_after, has_generator
from mgm.report.history import read_history, stages_of, tasks_of
from mgm.report.html.charts import Chart, charts, confusion_chart
from mgm.report.html.rendering import attempt, render
from mgm.report.html.run_facts import Cost, cost, provenance, setting, state
from mgm.report.pictures import MOST_MAPS, ImageTable, annotation_table, generated_table, prediction_table
from mgm.report.run_summary import early_ends, result_pretraining, result_rows
from mgm.report.tables import Column, ScoreTable, known_scores, score_table, share
from mgm.runs.diversity import diversity_sentence
from mgm.runs.folder import RunFolder, read_json, read_result
from mgm.runs.settings import to_yaml
from mgm.tasks import task_kinds, tasks_for
from mgm.tasks.base import Confusion, Task
from mgm.training.evaluate import task_gain

NAMED = 5
"""Number of confusions that are also stated in words."""
ClassScores = dict[str, dict[str, float | None]]
"""Class -> ``iou`` and ``pixels`` (see `mgm.tasks.base.ClassScore`), as in result files."""


@dataclass(frozen=True)
class Mistakes:
    """Confusions between classes, and the images with the largest errors."""

    confusions: list[tuple[Chart, list[str]]]
    """For each task with classes: the confusion matrix, and its largest off-diagonal entries in words."""
    worst: ImageTable


@dataclass(frozen=True)
class Results:
    """The scores on the test set and their summary in words."""

    table: ScoreTable
    sentences: list[str]
    classes: dict[str, dict[str, ClassScores]]
    """Title of a task -> recipe -> scores of its classes; the run itself comes last."""


def run_page(folder: RunFolder) -> str:
    """The page of a run, finished or not; a section that cannot be shown states the reason.

    Raises:
        RunError: If the folder holds no run, or its settings cannot be read.
    """
    experiment = folder.experiment()
    result = read_result(folder.result) if folder.finished else {}
    begun = begun_members(folder)
    generates = EXTRA_IMAGES[experiment.method.extra_images].generator != "none" or has_generator(folder)
    return render(
        "run.html",
        title=experiment.recipe,
        description=RECIPES[experiment.recipe].description if experiment.recipe in RECIPES else "",
        name=folder.path.resolve().name,
        state=state(folder),
        finished=folder.finished,
        data=result.get("data", Path(experiment.data.data).name),
        num_labelled=result.get("num_labelled"),
        image_size=experiment.data.image_size,
        seed=experiment.seed,
        setting=attempt(lambda: setting(experiment, result, folder.info())),
        notes=attempt(lambda: _notes(folder)),
        results=attempt(lambda: _results(folder, result)),
        charts=attempt(lambda: _charts(begun)),
        predictions=attempt(lambda: _predictions(begun)),
        mistakes=attempt(lambda: mistakes(folder)),
        diversity=diversity_sentence(result["diversity"]) if "diversity" in result else "",
        generated=attempt(lambda: generated_table(before_and_after(folder))) if generates else None,
        annotations=attempt(lambda: annotation_table(annotate_generated(folder))) if generates else None,
        costs=attempt(lambda: _costs(begun)),
        command=result.get("command", ""),
        provenance=provenance(result),
        settings=to_yaml(experiment),
    )


def begun_members(folder: RunFolder) -> dict[str, RunFolder]:
    """Recipe -> folder of the baseline (if there is one) and of the run itself, finished or not."""
    begun = [member for member in (folder.baseline, folder) if member.exists]
    return {member.experiment().recipe: member for member in begun}


def _notes(folder: RunFolder) -> dict[str, str]:
    """The notes of the data set, without those on tasks that the run was not trained on."""
    info = folder.info()
    learned, kinds = folder.experiment().data.tasks or info.tasks, task_kinds(info.own_tasks)
    return {part.replace("_", " "): note for part, note in info.notes.items() if part in learned or part not in kinds}


def _charts(begun: dict[str, RunFolder]) -> tuple[list[Chart], list[Chart], list[Chart]]:
    """Charts of scores, of losses, and of the gradients of the run itself."""
    histories = {title: read_history(member.metrics_log) for title, member in begun.items()}
    known = {title: history for title, history in histories.items() if history.losses or history.scores}
    if not known:
        raise RunError("nothing has been logged yet")
    drawn = known.values()
    own = list(drawn)[-1]
    measured = [figure for figure in ("norm", "cosine") if figure in own.gradients]
    return (
        charts(draw_scores, tasks_of(drawn), known),
        charts(draw_losses, stages_of(drawn), known),
        charts(draw_gradients, measured, own),
    )


def _predictions(begun: dict[str, RunFolder]) -> ImageTable:
    trained = {title: member for title, member in begun.items() if (member.checkpoints / "best.pt").exists()}
    if not trained:
        raise RunError("there are no weights: the run has not been validated yet, or its checkpoints were deleted")
    return prediction_table(compare(trained), most=MOST_MAPS)


def mistakes(folder: RunFolder) -> Mistakes:
    """The confusions and worst images of a finished run on its test set.

    Raises:
        RunError: If the run is not finished, or a file is damaged.
        DataError: If the data no longer exist.
    """
    if not folder.finished:
        raise RunError("the run is not finished")
    result = read_result(folder.result)
    confusions, kinds = read_json(folder.confusion, dict[str, Confusion]), task_kinds(folder.info().own_tasks)
    shown = [
        (
            confusion_chart(kinds[name].title, confusion),
            [
                f"{true} is predicted as {taken}: {share(part)} of its pixels, {share(whole)} of all"
                for true, taken, part, whole in confusion.mistakes(NAMED)
            ],
        )
        for name, confusion in confusions.items()
    ]
    models = {result["recipe"]: folder}
    return Mistakes(shown, prediction_table(compare(models, wanted=result.get("worst", ())), most=MOST_MAPS))


def _costs(begun: dict[str, RunFolder]) -> list[Cost]:
    finished = [cost(title, member) for title, member in begun.items() if member.finished]
    if not finished:
        raise RunError("the run is not finished")
    return finished


def _results(folder: RunFolder, result: dict[str, Any]) -> Results:
    """The scores of a finished run.

    Raises:
        RunError: If the run is not finished, or its result is incomplete.
    """
    if not result:
        raise RunError("the run is not finished, so there are no scores on the test set yet")
    try:
        tasks = tasks_for(folder.info(), tuple(result["test"]))
        table = score_table(result_rows(result), tasks, pretrained=result_pretraining(result))
        sentences = _sentences(result, table.columns, tasks)
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder.result} lacks {error}; restore it or train again") from None
    members = [member for member in (result.get("baseline"), result) if member]
    classes = {
        task.title: {
            member["recipe"]: member["classes"][name] for member in members if name in member.get("classes", {})
        }
        for name, task in tasks.items()
        if name in result.get("classes", {})
    }
    return Results(table, sentences, classes)


def _sentences(result: dict[str, Any], columns: list[Column], tasks: dict[str, Task]) -> list[str]:
    """Gains over the baseline, the uncertainty of a single run, and tasks that are not better than a constant prediction."""
    test, constant = (
        {name: known_scores(scores) for name, scores in result[key].items()} for key in ("test", "constant")
    )
    poor = [task.title.lower() for name, task in tasks.items() if task_gain(test[name], constant[name], task) <= 0]
    remarks = [f"{line}." for line in early_ends(result)]
    remarks += [f"Not better than a constant prediction: {', '.join(poor)}."] if poor else []
    baseline = result.get("baseline")
    if not baseline:
        return ["No baseline was trained with this run, so the effect of its method is unknown.", *remarks]
    length = "each until it stopped" if early_ends(result) else "at the same number of updates"
    gains = ", ".join(f"{column.title.lower()} {column.gain}" for column in columns if column.primary)
    return [
        f"{result['recipe']} vs. {baseline['recipe']}, {length}: {gains} (+ is better).",
        "One run of each: differences of a few per cent are within the variation between seeds. "
        "Only a paired comparison over several seeds can show a gain.",
        *remarks,
    ]
