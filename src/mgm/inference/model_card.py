"""The model card, ``README.md`` of a model folder, in the conventions of the Hugging Face Hub."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mgm.errors import ConfigError
from mgm.inference.model_folder import ModelDescription, ModelFolder
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.pretraining import footnotes, marked, pretraining
from mgm.tasks import make_tasks
from mgm.tasks.base import MetricInfo, Task
from mgm.training.evaluate import Scores

UNKNOWN = "unknown"
LICENCE_NOTES = ("licence", "license")
"""Notes of a data set (``notes`` in its dataset.yaml) in which it states its licence."""
HUB_TASKS = {"semantic": "image-segmentation", "depth": "depth-estimation"}
"""Task -> what the Hub calls it; it has no word for the others."""
ARRAYS = {
    "semantic": "`[H, W]` int64, class index",
    "depth": "`[1, H, W]`, metres along the optical axis",
    "normal": "`[3, H, W]`, unit vectors: x right, y down, z forward",
    "edge_texture": "`[1, H, W]`, strength in 0..1",
    "reshading": "`[1, H, W]`, brightness in 0..1",
    "principal_curvature": "`[2, H, W]`, coded in 0..1, 0.5 is flat",
}
"""Task -> shape and meaning of its values."""


@dataclass(frozen=True)
class CardDetails:
    """What only people know."""

    name: str = "model"
    """Title."""
    licence: str = UNKNOWN
    """Licence of the weights, as the Hub abbreviates it: apache-2.0, cc-by-nc-4.0, ..."""
    data_licence: str = ""
    """Licence of the training data; empty: as the data set states it, else unknown."""


@dataclass(frozen=True)
class Trials:
    """Results of runs that differ in their seed alone, the exported one first."""

    results: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def read(cls, runs: Sequence[RunFolder]) -> Trials:
        """Results of finished runs.

        Raises:
            RunError: If one is not finished or damaged.
            ConfigError: If they differ in more than their seed, or two are the same.
        """
        results = [read_result(run.result) for run in runs]
        alike = ("recipe", "data", "fraction", "image_size", "steps")
        for run, result in zip(runs, results, strict=True):
            for key in alike:
                if result.get(key) != results[0].get(key):
                    raise ConfigError(
                        f"{run.path} has {key} {result.get(key)!r}, {runs[0].path} {results[0].get(key)!r}; "
                        "the spread is that of runs that differ in their seed alone"
                    )
        seeds = [result.get("seed") for result in results]
        if len(set(seeds)) < len(seeds):
            raise ConfigError(f"two of the runs have the same seed ({', '.join(map(str, seeds))}); give each run once")
        return cls(tuple(results))

    def values(self, task: str, metric: str) -> list[float]:
        """A metric on the test set in every run that knows it."""
        values = [result["test"].get(task, {}).get(metric) for result in self.results]
        return [value for value in values if value is not None]


def card_of(found: ModelDescription, origin: Path | None) -> str:
    """The card of a model: that which lies in the folder that it was read from, or one made from what that run knows.

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


def model_card(found: ModelDescription, trials: Trials, details: CardDetails, files: Sequence[str] = ()) -> str:
    """The card as Markdown with its YAML front matter.

    Args:
        found: The model.
        trials: Scores on the test set; without any the card says that they are unknown.
        details: Title and licences.
        files: What else lies in the folder, one line each.
    """
    tasks = make_tasks(found.tasks, found.classes)
    parts = [
        _front_matter(found, tasks, trials, details),
        f"# {details.name}",
        _summary(found, tasks),
        _usage(tasks, details.name, files),
        _training(found, trials, details),
        _scores(tasks, trials, pretraining(found.model)),
        _limits(found, tasks, trials),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(found: ModelDescription, tasks: dict[str, Task], trials: Trials, details: CardDetails) -> str:
    known = [HUB_TASKS[name] for name in tasks if name in HUB_TASKS]
    values: dict[str, Any] = {
        "library_name": "mgm",
        "license": details.licence,
        "pipeline_tag": known[0] if known else "image-to-image",
        "tags": ["mgm", "multi-task-learning", "dense-prediction", *known, *(f"task-{name}" for name in tasks)],
    }
    if trials.results:
        values["model-index"] = [{"name": details.name, "results": _index(found, tasks, trials)}]
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---"


def _index(found: ModelDescription, tasks: dict[str, Task], trials: Trials) -> list[dict[str, Any]]:
    """Scores of the exported run as the Hub reads them."""
    results = []
    for name, task in tasks.items():
        scores = {metric: trials.results[0]["test"].get(name, {}).get(metric) for metric in task.metrics_info}
        metrics = [
            {"type": metric, "name": _title(task.metrics_info[metric]), "value": round(value, 5)}
            for metric, value in scores.items()
            if value is not None
        ]
        if metrics:
            results.append(
                {
                    "task": {"type": HUB_TASKS.get(name, "image-to-image"), "name": task.title},
                    "dataset": {"type": found.dataset, "name": found.dataset, "split": "test"},
                    "metrics": metrics,
                }
            )
    return results


def _summary(found: ModelDescription, tasks: dict[str, Task]) -> str:
    titles = ", ".join(task.title.lower() for task in tasks.values())
    model = found.model
    pretrained = pretraining(model)
    encoder = f"pre-trained encoder ({pretrained})" if pretrained else f"ResNet-{model.depth} blocks"
    lines = [
        f"One network, {len(tasks)} task{'s' if len(tasks) > 1 else ''} per photograph: {titles}.",
        f"Architecture `{model.architecture}`, {encoder}, widths {'/'.join(map(str, model.widths))}, "
        f"images of {found.image_size} x {found.image_size} pixels. Trained with mgm "
        f"{found.mgm_version} (Bao, Hebert, Wang, Generative Modeling for Multi-task Visual Learning, ICML 2022), recipe "
        f"`{found.recipe}`.",
    ]
    if found.classes:
        lines.append(f"Classes ({len(found.classes)}): {', '.join(found.classes)}.")
    return "\n\n".join(lines)


def _usage(tasks: dict[str, Task], name: str, files: Sequence[str]) -> str:
    lines = ["## Use", "", "```python", "import mgm", "", f'model = mgm.load("{name}")  # this folder']
    lines += [
        'values = model.predict("photo.jpg")',
        "```",
        "",
        "| value | what it is, at the photograph's size |",
        "| :-- | :-- |",
    ]
    lines += [f"| `{task}` | {ARRAYS.get(task, 'float32')} |" for task in tasks]
    lines += ["", f"On the command line: `mgm predict {name} photo.jpg --out predictions`."]
    if files:
        lines += ["", "Also in this folder:", "", *(f"- {line}" for line in files)]
    return "\n".join(lines)


def _training(found: ModelDescription, trials: Trials, details: CardDetails) -> str:
    stated = next((found.notes[key] for key in LICENCE_NOTES if key in found.notes), UNKNOWN)
    rows = {"data set": found.dataset, "licence of the data": details.data_licence or stated}
    if trials.results:
        first = trials.results[0]
        rows |= {
            "labelled training images": first.get("num_labelled", UNKNOWN),
            "share of the training set that was labelled": first.get("fraction", UNKNOWN),
            "updates on labelled images": first.get("steps", UNKNOWN),
            "seed": found.seed,
            "commit": first.get("commit") or UNKNOWN,
        }
    lines = ["## Training", "", "| | |", "| :-- | :-- |", *(f"| {key} | {value} |" for key, value in rows.items())]
    notes = [f"- {kind}: {note}" for kind, note in found.notes.items() if kind not in LICENCE_NOTES]
    if notes:
        lines += ["", "What the data set says of itself:", "", *notes]
    return "\n".join(lines)


def _scores(tasks: dict[str, Task], trials: Trials, pretrained: str) -> str:
    if not trials.results:
        return "## Scores\n\nUnknown: the model was exported before its run was finished."
    several = len(trials.results) > 1
    baseline = trials.results[0].get("baseline")
    titles = [
        "metric",
        marked("this model", pretrained),
        *([f"mean ± sd, {len(trials.results)} seeds"] if several else []),
    ]
    titles += ["constant predictor", *([marked(f"baseline `{baseline['recipe']}`", pretrained)] if baseline else [])]
    lines = ["## Scores on the test set", "", f"| {' | '.join(titles)} |", "| :-- |" + " --: |" * (len(titles) - 1)]
    for name, task in tasks.items():
        for metric, info in task.metrics_info.items():
            cells = [_number(_score(trials.results[0]["test"], name, metric))]
            if several:
                cells.append(_spread(trials.values(name, metric)))
            cells.append(_number(_score(trials.results[0]["constant"], name, metric)))
            if baseline:
                cells.append(_number(_score(baseline["test"], name, metric)))
            lines.append(f"| {task.title}: {_title(info)} | {' | '.join(cells)} |")
    spread = (
        "sd is that over training runs with other seeds." if several else "One run: how far seeds differ is not known."
    )
    notes = [f"↑ higher is better, ↓ lower is better. {spread}", *footnotes([pretrained])]
    return "\n".join([*lines, "", "\n\n".join(notes)])


def _limits(found: ModelDescription, tasks: dict[str, Task], trials: Trials) -> str:
    side = found.image_size
    lines = [
        "## Limits",
        "",
        f"- It knows images like those of {found.dataset}. On others its errors are unknown, and it does not say when it is wrong.",
        f"- It sees {side} x {side} pixels: what is smaller than a few of them is not found, however large the photograph.",
    ]
    if "depth" in tasks:
        lines.append(
            "- Metres hold for cameras with about the field of view of the training images; others need a factor."
        )
    if not trials.results:
        return "\n".join(lines)
    useless = [task.title for name, task in tasks.items() if not _beats(trials, name, task)]
    if useless:
        lines.append(f"- No better than a constant prediction: {', '.join(useless)}.")
    if len(trials.results) == 1:
        lines.append("- The scores are those of one run; a few per cent more or less are within the noise of a seed.")
    return "\n".join(lines)


def _beats(trials: Trials, name: str, task: Task) -> bool:
    """Whether the exported run is better than the constant predictor; also where that is not known."""
    ours, constant = (_score(trials.results[0][key], name, task.primary) for key in ("test", "constant"))
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


def _title(info: MetricInfo) -> str:
    unit = f" [{info.unit}]" if info.unit else ""
    return f"{info.title}{unit} {'↑' if info.higher_is_better else '↓'}"
