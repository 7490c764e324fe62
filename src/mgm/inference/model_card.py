"""The model card (``README.md`` of a model folder), following the conventions of the Hugging Face Hub."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from mgm.errors import ConfigError
from mgm.inference.model_folder import ModelDescription, ModelFolder
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.pretraining import footnotes, marked, pretraining
from mgm.runs.settings import of_model, to_dict
from mgm.tasks import tasks_for
from mgm.tasks.base import Task
from mgm.training.evaluate import Scores
from mgm.types import ASPECTS, parse_size

UNKNOWN = "unknown"
LICENCE_NOTES = ("licence", "license")
"""Keys of a data set's notes (``notes`` in dataset.yaml) that state its licence."""


@dataclass(frozen=True)
class CardDetails:
    """Details of a card that the author of the model has to provide."""

    name: str = "model"
    """Title of the card."""
    licence: str = UNKNOWN
    """Licence of the weights, as an identifier of the Hub: apache-2.0, cc-by-nc-4.0, ..."""
    data_licence: str = ""
    """Licence of the training data; empty: as stated by the data set, else unknown."""


@dataclass(frozen=True)
class Trials:
    """Results of runs that differ only in their seed, the exported one first."""

    results: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, runs: Sequence[RunFolder]) -> Trials:
        """Read the results of finished runs.

        Raises:
            RunError: If a run is unfinished, or its result is damaged.
            ConfigError: If the runs differ in more than their seed, or two have the same seed.
        """
        results = [read_result(run.result) for run in runs]
        settings = [of_model(to_dict(run.experiment())) for run in runs]
        for run, own in zip(runs, settings, strict=True):
            if differing := [name for name, value in own.items() if value != settings[0][name]]:
                name = differing[0]
                raise ConfigError(
                    f"{run.path} has {name} {own[name]!r}, {runs[0].path} {settings[0][name]!r}; "
                    "the standard deviation needs runs that differ only in their seed"
                )
        seeds = [result.get("seed") for result in results]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"two of the runs have the same seed ({', '.join(map(str, seeds))}); give each run once")
        return cls(tuple(results))

    def values(self, task: str, metric: str) -> list[float]:
        """Test score of one metric in every run that has it."""
        values = [result["test"].get(task, {}).get(metric) for result in self.results]
        return [value for value in values if value is not None]


def card_of(found: ModelDescription, origin: Path | None) -> str:
    """The card of a model: the one in its model folder if there is one, else one generated from its run.

    Args:
        found: The model.
        origin: Folder that the model was loaded from; None: unknown.

    Raises:
        RunError: If the run's result is damaged.
    """
    if origin is None:
        return model_card(found, Trials(), CardDetails())
    folder, run = ModelFolder(origin), RunFolder(origin)
    if folder.exists and folder.card_file.is_file():
        return folder.card_file.read_text(encoding="utf-8", errors="replace")
    trials = Trials.read([run]) if run.finished else Trials()
    return model_card(found, trials, CardDetails(name=origin.resolve().name))


def model_card(found: ModelDescription, trials: Trials, details: CardDetails) -> str:
    """Render the template ``model_card.md.jinja``: Markdown with YAML front matter.

    Args:
        found: The model.
        trials: Scores on the test set; if there are none, the card calls them unknown.
        details: Title and licences.
    """
    tasks = tasks_for(found.info())
    pretrained = pretraining(found.model)
    result = trials.results[0] if trials.results else None
    stated = next((found.notes[key] for key in LICENCE_NOTES if key in found.notes), UNKNOWN)
    environment = Environment(
        loader=PackageLoader("mgm.inference", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["or_unknown"] = lambda value: value or UNKNOWN
    titles, rows = _scores(tasks, trials, pretrained)
    return environment.get_template("model_card.md.jinja").render(
        model=found,
        example="photo.jpg" if found.image.is_photograph else "image.tif",
        aspect=ASPECTS[found.aspect],
        size="{} x {}".format(*parse_size(found.image_size)),
        details=details,
        tasks=tasks,
        front_matter=yaml.safe_dump(_front_matter(found, tasks, trials, details), sort_keys=False, allow_unicode=True),
        encoder=f"pre-trained encoder ({pretrained})" if pretrained else f"ResNet-{found.model.depth} blocks",
        data_licence=details.data_licence or stated,
        notes={kind: note for kind, note in found.notes.items() if kind not in LICENCE_NOTES},
        result=result and {key: result.get(key) for key in ("num_labelled", "fraction", "steps", "commit")},
        num_seeds=len(trials.results),
        score_titles=titles,
        score_rows=rows,
        footnotes=footnotes([pretrained]),
        useless=[task.title for name, task in tasks.items() if result and not _beats_constant(result, name, task)],
    )


def with_graphs(card: str, graphs: Sequence[str]) -> str:
    """The card with a section that describes the graphs in its folder, one line each, in place of an earlier one."""
    kept = re.sub(r"\n## Graphs\n\n(- .*\n)*", "", card)
    if not graphs:
        return kept
    return "\n".join([kept.rstrip(), "", "## Graphs", "", *(f"- {line}" for line in graphs), ""])


def _front_matter(
    found: ModelDescription, tasks: dict[str, Task], trials: Trials, details: CardDetails
) -> dict[str, Any]:
    """Metadata for the Hub, with the scores of the exported run."""
    known = [task.hub_tag for task in tasks.values() if task.hub_tag != Task.hub_tag]
    values: dict[str, Any] = {
        "library_name": "mgm",
        "license": details.licence,
        "pipeline_tag": known[0] if known else Task.hub_tag,
        "tags": ["mgm", "multi-task-learning", "dense-prediction", *known, *(f"task-{name}" for name in tasks)],
    }
    if trials.results:
        test = trials.results[0]["test"]
        results = [
            {
                "task": {"type": task.hub_tag, "name": task.title},
                "dataset": {"type": found.dataset, "name": found.dataset, "split": "test"},
                "metrics": [
                    {"type": metric, "name": info.heading, "value": round(value, 5)}
                    for metric, info in task.metrics_info.items()
                    if (value := _score(test, name, metric)) is not None
                ],
            }
            for name, task in tasks.items()
        ]
        values["model-index"] = [{"name": details.name, "results": [entry for entry in results if entry["metrics"]]}]
    return values


def _scores(tasks: dict[str, Task], trials: Trials, pretrained: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table of scores; empty without results."""
    if not trials.results:
        return [], []
    first = trials.results[0]
    columns = {marked("this model", pretrained): first["test"], "constant predictor": first["constant"]}
    if baseline := first.get("baseline"):
        columns[marked(f"baseline `{baseline['recipe']}`", pretrained)] = baseline["test"]
    titles = ["metric", *columns]
    rows = [
        [f"{task.title}: {info.heading}", *(_number(_score(scores, name, metric)) for scores in columns.values())]
        for name, task in tasks.items()
        for metric, info in task.metrics_info.items()
    ]
    if len(trials.results) > 1:
        titles.insert(2, f"mean ± sd, {len(trials.results)} seeds")
        keys = [(name, metric) for name, task in tasks.items() for metric in task.metrics_info]
        for row, key in zip(rows, keys, strict=True):
            row.insert(2, _spread(trials.values(*key)))
    return titles, rows


def _beats_constant(result: Mapping[str, Any], name: str, task: Task) -> bool:
    """Whether the exported run is better than the constant predictor; True if that is unknown."""
    ours, constant = (_score(result[key], name, task.primary) for key in ("test", "constant"))
    if ours is None or constant is None:
        return True
    return ours > constant if task.metrics_info[task.primary].higher_is_better else ours < constant


def _score(scores: Scores, task: str, metric: str) -> float | None:
    return scores.get(task, {}).get(metric)


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return "–"
    return f"{statistics.mean(values):.4g} ± {statistics.stdev(values):.2g}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
