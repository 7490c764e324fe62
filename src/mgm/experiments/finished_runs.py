"""Comparison of finished runs, grouped by settings: the runs of a group differ only in their seeds."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.errors import RunError
from mgm.experiments.comparisons import Question, Results, answer_questions, summary
from mgm.experiments.statistics import Spread, spread
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.images import Images, RunImages
from mgm.runs.pretraining import pretraining
from mgm.runs.settings import of_model, to_dict
from mgm.tasks import make_tasks
from mgm.tasks.base import Task
from mgm.training.evaluate import Scores

SAME_TEST = ("split", "image_size", "aspect")
"""Settings that determine the test set, in addition to the images themselves."""
SAME_ARRAYS = ("data", "num_images", "image_size", "aspect", "skip_bad")
"""Settings that determine the converted data."""
SAME_LABELS = ("fraction",)
"""Settings that determine the number of labels."""


@dataclass(frozen=True)
class FinishedRun:
    """A run with its result."""

    folder: RunFolder
    settings: dict[str, Any]
    scores: Scores
    num_labelled: int
    images: RunImages
    pretrained: str = ""
    """See `mgm.runs.pretraining`."""

    @property
    def pair(self) -> tuple[int, int]:
        """Key of paired runs: equal for runs of two recipes with the same seeds."""
        return self.settings["seed"], self.settings["data"]["split_seed"]

    @property
    def kind(self) -> str:
        """Key of a group: equal for runs that differ only in their seeds."""
        return json.dumps(of_model(self.settings), sort_keys=True)


@dataclass(frozen=True)
class RunComparison:
    """Comparison of finished runs; made by `compare_runs`."""

    groups: dict[str, list[FinishedRun]]
    """Title -> runs that differ only in their seeds; the first group is the reference."""
    settings: dict[str, dict[str, Any]]
    """Title -> the settings in which groups of the same recipe differ, without those that are empty."""
    tasks: dict[str, Task]
    """All tasks of the runs."""
    warnings: list[str]
    """Reasons why the scores are not comparable."""
    statistics: str
    """Paired tests of every group against the first, in words; empty if the runs cannot be paired."""
    pretraining_note: str
    """A sentence if the encoders were pre-trained on different data; otherwise empty."""

    @property
    def scores(self) -> dict[str, Scores]:
        """Title -> mean test scores over seeds."""
        return {title: mean_scores(runs) for title, runs in self.groups.items()}

    @property
    def pretrained(self) -> dict[str, str]:
        """Title -> data that the encoders were pre-trained on, for groups with a pre-trained encoder."""
        return {title: runs[0].pretrained for title, runs in self.groups.items() if runs[0].pretrained}

    def spreads(self, title: str) -> dict[str, Spread]:
        """Task -> mean and standard deviation of its primary metric over the seeds of a group."""
        runs = self.groups[title]
        return {name: spread([value_of(run, name, task.primary) for run in runs]) for name, task in self.tasks.items()}

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for a JSON file."""
        folders = {title: [str(run.folder.path) for run in runs] for title, runs in self.groups.items()}
        return {
            "runs": folders,
            "settings": self.settings,
            "test": self.scores,
            "warnings": self.warnings,
            "statistics": self.statistics,
            "pretrained": self.pretrained,
            "pretraining_note": self.pretraining_note,
        }


def compare_runs(paths: Sequence[Path]) -> RunComparison:
    """Compare finished runs on the test set, by paired tests against the group of the first if settings have several seeds.

    Raises:
        RunError: If a folder holds no finished run, or a run is given twice.
    """
    groups = group([read_finished(path) for path in paths])
    first = next(iter(groups.values()))[0]
    names = tuple(dict.fromkeys(task for runs in groups.values() for run in runs for task in run.scores))
    # needed only for the names of metrics, so any class will do
    tasks = make_tasks(names, first.folder.info().classes or ("any",), own=_definitions(groups))
    warnings = differences(groups)
    settings = differing_settings(groups)
    tested = "" if warnings else statistics(groups, tasks)
    return RunComparison(groups, settings, tasks, warnings, tested, pretraining_note(groups))


def _definitions(groups: Mapping[str, Sequence[FinishedRun]]) -> dict[str, dict[str, Any]]:
    """Custom tasks defined by the data sets of the runs; for a name with several definitions, the last one."""
    return {name: own for runs in groups.values() for run in runs for name, own in run.folder.info().own_tasks.items()}


def read_finished(path: Path) -> FinishedRun:
    """Read a run and its result. Raises `RunError` if there is no run, or it is not finished."""
    folder = RunFolder(path)
    experiment = folder.experiment()
    settings = to_dict(experiment)
    result = read_result(folder.result)
    try:
        images = RunImages.read(folder.images)
        pretrained = pretraining(experiment.model)
        return FinishedRun(folder, settings, result["test"], result["num_labelled"], images, pretrained)
    except KeyError as error:
        raise RunError(f"{folder.result} is damaged (no {error}); train again") from None


def group(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Group runs that differ only in their seeds, sorted by seed; a title is the recipe, with a folder where recipes agree.

    Raises:
        RunError: If a group contains the same seed twice.
    """
    kinds: dict[str, list[FinishedRun]] = {}
    for run in runs:
        kinds.setdefault(run.kind, []).append(run)
    recipes = Counter(members[0].settings["recipe"] for members in kinds.values())
    folders = Counter(members[0].folder.path.resolve().name for members in kinds.values())
    groups: dict[str, list[FinishedRun]] = {}
    for members in kinds.values():
        pairs = [run.pair for run in members]
        if len(set(pairs)) < len(pairs):
            raise RunError(
                f"{members[0].folder.path} and {members[-1].folder.path} are the same run twice: same settings, same seed"
            )
        title, folder = members[0].settings["recipe"], members[0].folder.path.resolve()
        if recipes[title] > 1:
            title += f" ({folder.name if folders[folder.name] == 1 else folder})"
        groups[title] = sorted(members, key=lambda run: run.pair)
    return groups


def differing_settings(groups: Mapping[str, Sequence[FinishedRun]]) -> dict[str, dict[str, Any]]:
    """Title -> setting -> value, where groups of the same recipe differ; values that are empty (nothing, no) are left out."""
    flat = {title: of_model(runs[0].settings) for title, runs in groups.items()}
    return {
        title: {
            name: value
            for name, value in own.items()
            if value is not False
            and value not in ("", None, (), [], {})
            and any(other[name] != value for other in flat.values() if other["recipe"] == own["recipe"])
        }
        for title, own in flat.items()
    }


def differences(groups: Mapping[str, Sequence[FinishedRun]]) -> list[str]:
    """One line for each reason why the scores of the runs are not comparable."""
    lines: list[str] = []
    for names, meaning in ((SAME_TEST, "the runs are not tested on the same images"), (SAME_LABELS, "labels differ")):
        for name in names:
            values: dict[str, list[str]] = {}
            for title, runs in groups.items():
                value = " ".join(dict.fromkeys(str(run.settings["data"][name]) for run in runs))
                values.setdefault(value, []).append(title)
            if len(values) > 1:
                which = "; ".join(f"{value} ({', '.join(titles)})" for value, titles in values.items())
                lines.append(f"not comparable, {meaning}: {name} {which}")
    own = _definitions(groups)
    for name in own:
        infos = [run.folder.info() for runs in groups.values() for run in runs]
        if any(info.own_tasks.get(name, own[name]) != own[name] for info in infos):
            lines.append(f"not comparable: the data sets of the runs define {name} differently")
    lines += _changes([run for runs in groups.values() for run in runs])
    (title, first), *others = groups.items()
    tests = {run.pair: run.images.test for run in first}
    for other, runs in others:
        apart = [_differing(tests[run.pair], run.images.test) for run in runs if run.pair in tests]
        if num := max(map(len, apart), default=0):
            lines.append(
                f"not comparable, the runs are not tested on the same images: {title} and {other} differ in {num} images"
            )
    pairs = [{run.pair for run in runs} for runs in groups.values()]
    if len(groups) > 1 and not set.intersection(*pairs):
        lines.append("the runs have no seed in common, so part of their difference is due to the seeds")
    return lines


def _changes(runs: Sequence[FinishedRun]) -> list[str]:
    """A line if a data set has changed between two runs, whatever their seeds."""
    firsts: dict[tuple[object, ...], FinishedRun] = {}
    for run in runs:
        first = firsts.setdefault(tuple(run.settings["data"][name] for name in SAME_ARRAYS), run)
        if first.images.checksums != run.images.checksums:
            num = len(_differing(first.images.all, run.images.all))
            what = f"{num} images differ" if num else "labels or splits differ"
            return [f"not comparable, the data have changed between {first.folder.path} and {run.folder.path}: {what}"]
    return []


def _differing(ours: Images, theirs: Images) -> set[str]:
    """Names of the images that only one of two has, or whose pixels differ."""
    return {name for name, _ in ours.items() ^ theirs.items()}


def pretraining_note(groups: Mapping[str, Sequence[FinishedRun]]) -> str:
    """A sentence if the encoders of the groups were pre-trained on different data (or only some of them); else empty."""
    kinds: dict[str, list[str]] = {}
    for title, runs in groups.items():
        kinds.setdefault(runs[0].pretrained, []).append(title)
    if len(kinds) < 2:
        return ""
    which = "; ".join(f"{kind or 'from scratch'}: {', '.join(titles)}" for kind, titles in kinds.items())
    return f"the encoders were pre-trained on different data, which explains part of the difference ({which})"


def mean_scores(runs: Sequence[FinishedRun]) -> Scores:
    """Mean of every metric over seeds; NaN if no run has it."""
    return {
        task: {metric: spread([value_of(run, task, metric) for run in runs]).mean for metric in metrics}
        for task, metrics in runs[0].scores.items()
    }


def value_of(run: FinishedRun, task: str, metric: str) -> float:
    """A run's score on the test set; NaN if it has none."""
    value = run.scores.get(task, {}).get(metric)
    return math.nan if value is None else value


def statistics(groups: Mapping[str, Sequence[FinishedRun]], tasks: Mapping[str, Task]) -> str:
    """Paired tests of every group against the first, in words; empty unless two seeds and one task are common to all runs."""
    common = sorted(set[tuple[int, int]].intersection(*({run.pair for run in runs} for runs in groups.values())))
    shared = {
        name: task
        for name, task in tasks.items()
        if all(name in run.scores for runs in groups.values() for run in runs)
    }
    if len(groups) < 2 or len(common) < 2 or not shared:
        return ""
    results: Results = {
        title: {
            name: [value_of(run, name, task.primary) for run in runs if run.pair in common]
            for name, task in shared.items()
        }
        for title, runs in groups.items()
    }
    first, *others = groups
    higher = {name: task.metrics_info[task.primary].higher_is_better for name, task in shared.items()}
    return summary(answer_questions(results, [Question(title, first) for title in others], higher))
