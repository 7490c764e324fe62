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
from mgm.report.generation import annotation_table, before_and_after, generated_table
from mgm.report.history import read_history, stages_of, tasks_of
from mgm.report.html.rendering import Chart, attempt, charts, confusion_chart, render
from mgm.report.html.run_facts import Cost, cost, provenance, setting, state
from mgm.report.pictures import MOST_MAPS, ImageTable, prediction_table
from mgm.report.run_summary import budget, early_ends, result_table, results_of
from mgm.report.tables import Column, known_scores, share
from mgm.runs.diversity import diversity_sentence
from mgm.runs.folder import RunFolder, read_json, read_result
from mgm.runs.saved_generators import stages_with_generator
from mgm.runs.settings import to_yaml
from mgm.tasks import Confusion, Task, find_task, task_kinds, tasks_for
from mgm.training.evaluate import task_gain

NAMED = 5
"""Number of confusions that are also stated in words."""


def run_page(folder: RunFolder) -> str:
    """The page of a run, finished or not; a section that cannot be shown states the reason.

    Raises:
        RunError: If the folder holds no run, or its settings cannot be read.
    """
    experiment = folder.experiment()
    result = read_result(folder.result) if folder.finished else {}
    begun = {member.experiment().recipe: member for member in (folder.baseline, folder) if member.exists}
    extra = EXTRA_IMAGES.get(experiment.method.extra_images)  # None: of a plugin that is not loaded
    generates = (extra and extra.generator != "none") or stages_with_generator(folder)
    return render(
        "run.html",
        title=experiment.recipe,
        description=RECIPES[experiment.recipe].description if experiment.recipe in RECIPES else "",
        name=folder.path.resolve().name,
        state=attempt(lambda: state(folder)),
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
        annotations=attempt(lambda: annotation_table(folder)) if generates else None,
        costs=attempt(lambda: _costs(begun)),
        command=result.get("command", ""),
        provenance=provenance(result),
        settings=to_yaml(experiment),
    )


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
    drawn = list(known.values())
    measured = [figure for figure in ("norm", "cosine") if figure in drawn[-1].gradients]
    return (
        charts(draw_scores, tasks_of(drawn), known),
        charts(draw_losses, stages_of(drawn), known),
        charts(draw_gradients, measured, drawn[-1]),
    )


def _predictions(begun: dict[str, RunFolder]) -> ImageTable:
    trained = {title: member for title, member in begun.items() if (member.checkpoints / "best.pt").exists()}
    if not trained:
        raise RunError("there are no weights: the run has not been validated yet, or its checkpoints were deleted")
    return prediction_table(compare(trained), most=MOST_MAPS)


@dataclass(frozen=True)
class Mistakes:
    """Confusions between classes, and the images with the largest errors."""

    confusions: list[tuple[Chart, list[str]]]
    """For each task with classes: the confusion matrix, and its largest off-diagonal entries in words."""
    worst: ImageTable


def mistakes(folder: RunFolder) -> Mistakes:
    """The confusions and worst images of a finished run on its test set.

    Raises:
        RunError: If the run is not finished, or a file is damaged.
        DataError: If the data no longer exist.
    """
    if not folder.finished:
        raise RunError("the run is not finished")
    result = read_result(folder.result)
    kinds = task_kinds(folder.info().own_tasks)
    shown: list[tuple[Chart, list[str]]] = []
    for name, confusion in read_json(folder.confusion, dict[str, Confusion]).items():
        sentences = [
            f"{true} is predicted as {taken}: {share(part)} of its pixels, {share(whole)} of all"
            for true, taken, part, whole in confusion.mistakes(NAMED)
        ]
        shown.append((confusion_chart(find_task(name, kinds).title, confusion), sentences))
    models = {result["recipe"]: folder}
    return Mistakes(shown, prediction_table(compare(models, wanted=result.get("worst", ())), most=MOST_MAPS))


def _costs(begun: dict[str, RunFolder]) -> list[Cost]:
    finished = [cost(title, member) for title, member in begun.items() if member.finished]
    if not finished:
        raise RunError("the run is not finished")
    return finished


def _results(folder: RunFolder, result: dict[str, Any]) -> dict[str, Any]:
    """The table of scores, sentences about them, and task -> recipe -> class -> ``iou`` and ``pixels``, of a finished run.

    Raises:
        RunError: If the run is not finished, or its result is incomplete.
    """
    if not result:
        raise RunError("the run is not finished, so there are no scores on the test set yet")
    try:
        tasks = tasks_for(folder.info(), tuple(result["test"]))
        table = result_table(result, folder.info())
        sentences = _sentences(result, table.columns, tasks)
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder.result} lacks {error}; restore it or train again") from None
    scored = {member["recipe"]: member.get("classes", {}) for member in results_of(result)}
    classes = {
        task.title: {recipe: by_task[name] for recipe, by_task in scored.items() if name in by_task}
        for name, task in tasks.items()
        if name in result.get("classes", {})
    }
    return {"table": table, "sentences": sentences, "classes": classes}


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
    gains = ", ".join(f"{column.title.lower()} {column.gain}" for column in columns if column.primary)
    return [
        f"{result['recipe']} vs. {baseline['recipe']} at {budget(result)}: {gains} (+ is better).",
        "One run of each: differences of a few per cent are within the variation between seeds. "
        "Only a paired comparison over several seeds can show a gain.",
        *remarks,
    ]
