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
"""Mistakes of a segmentation that are put into words."""
ClassScores = dict[str, dict[str, float | None]]
"""Class -> ``iou`` and ``pixels`` (see `mgm.tasks.base.ClassScore`), as result files hold them."""


@dataclass(frozen=True)
class Mistakes:
    """What the run mistakes for what, and where it errs most."""

    confusions: list[tuple[Chart, list[str]]]
    """Of each task with classes: the matrix, and its largest entries in words."""
    worst: ImageTable


@dataclass(frozen=True)
class Results:
    """The scores on the test set, and what they say."""

    table: ScoreTable
    sentences: list[str]
    classes: dict[str, dict[str, ClassScores]]
    """Title of a task -> recipe -> the scores of its classes, those of the run itself last."""


def run_page(folder: RunFolder) -> str:
    """The page of a run, finished or not; in place of what cannot be shown stands the reason.

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
    """Recipe -> the baseline, where there is one, and the run itself, however far they have come."""
    begun = [member for member in (folder.baseline, folder) if member.exists]
    return {member.experiment().recipe: member for member in begun}


def _notes(folder: RunFolder) -> dict[str, str]:
    """What the data set says about itself, without the tasks that the run did not learn."""
    info = folder.info()
    learned, kinds = folder.experiment().data.tasks or info.tasks, task_kinds(info.own_tasks)
    return {part.replace("_", " "): note for part, note in info.notes.items() if part in learned or part not in kinds}


def _charts(begun: dict[str, RunFolder]) -> tuple[list[Chart], list[Chart], list[Chart]]:
    """Charts of scores, of losses, and of the gradients of the run itself."""
    histories = {title: read_history(member.metrics_log) for title, member in begun.items()}
    known = {title: history for title, history in histories.items() if history.losses or history.scores}
    if not known:
        raise RunError("nothing was logged yet")
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
        raise RunError("no weights are kept here: the run has not been validated yet, or its checkpoints were deleted")
    return prediction_table(compare(trained), most=MOST_MAPS)


def mistakes(folder: RunFolder) -> Mistakes:
    """The mistakes of a finished run on its test set.

    Raises:
        RunError: If it is not finished, or a file is damaged.
        DataError: If the data are no longer there.
    """
    if not folder.finished:
        raise RunError("the run is not finished")
    result = read_result(folder.result)
    confusions, kinds = read_json(folder.confusion, dict[str, Confusion]), task_kinds(folder.info().own_tasks)
    shown = [
        (
            confusion_chart(kinds[name].title, confusion),
            [
                f"{true} is taken for {taken}: {share(part)} of its pixels"
                for true, taken, part in confusion.mistakes(NAMED)
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
        RunError: If the run is not finished, or its result lacks what the table needs.
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
    """The gains, what one run can show about them, and the tasks on which nothing was learned."""
    test, constant = (
        {name: known_scores(scores) for name, scores in result[key].items()} for key in ("test", "constant")
    )
    poor = [task.title.lower() for name, task in tasks.items() if task_gain(test[name], constant[name], task) <= 0]
    remarks = [f"{line}." for line in early_ends(result)]
    remarks += [f"No better than a constant prediction: {', '.join(poor)}."] if poor else []
    baseline = result.get("baseline")
    if not baseline:
        return ["No baseline was trained beside this run, so nothing here says what its method brings.", *remarks]
    length = "each until it ended" if early_ends(result) else "at the same number of updates"
    gains = ", ".join(f"{column.title.lower()} {column.gain}" for column in columns if column.primary)
    return [
        f"{result['recipe']} against {baseline['recipe']}, {length}: {gains} (+ is better).",
        "One run of each: differences of a few per cent are within what the seed alone makes. "
        "Only several seeds, compared in pairs, can show a gain.",
        *remarks,
    ]
