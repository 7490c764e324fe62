"""Finished runs side by side: those that differ in nothing but the seed belong together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgm.errors import RunError
from mgm.experiments.comparisons import Question, Results, answer_questions, summary
from mgm.experiments.statistics import spread
from mgm.runs.folder import RunFolder, read_result
from mgm.runs.pretraining import pretraining
from mgm.runs.settings import to_dict
from mgm.tasks.base import Task
from mgm.training.evaluate import Scores

SAME_TEST = ("data", "split", "split_seed", "image_size", "num_images")
"""Settings that decide what a run is tested on."""
SAME_LABELS = ("fraction",)
"""Settings that decide how much it had to learn from."""
NO_DIFFERENCE = {"data": ("cache", "split_seed"), "training": ("device", "tensorboard", "checkpoint_every")}
"""Settings that make no other model of a run: where it ran, what it showed."""


@dataclass(frozen=True)
class FinishedRun:
    """A run with its result."""

    folder: RunFolder
    settings: dict[str, Any]
    scores: Scores
    num_labelled: int
    pretrained: str = ""
    """See `mgm.runs.pretraining`."""

    @property
    def pair(self) -> tuple[int, int]:
        """What runs of two recipes have in common when their difference is a paired one."""
        return self.settings["seed"], self.settings["data"]["split_seed"]

    @property
    def kind(self) -> str:
        """Equal for runs that differ in nothing but their seeds."""
        return json.dumps(self.flat(), sort_keys=True)

    def flat(self) -> dict[str, Any]:
        """Setting -> value, without seeds and what makes no difference."""
        return {"recipe": self.settings["recipe"]} | {
            name: value
            for group in ("data", "model", "method", "training")
            for name, value in self.settings[group].items()
            if name not in NO_DIFFERENCE.get(group, ()) and name != "backbone"
        }


def read_finished(path: Path) -> FinishedRun:
    """A run and its result.

    Raises:
        RunError: If there is none, or it is not finished.
    """
    folder = RunFolder(path)
    experiment = folder.experiment()
    settings = to_dict(experiment)
    result = read_result(folder.result)
    try:
        return FinishedRun(folder, settings, result["test"], result["num_labelled"], pretraining(experiment.model))
    except KeyError as error:
        raise RunError(f"{folder.result} is damaged (no {error}); train again") from None


def group(runs: Sequence[FinishedRun]) -> dict[str, list[FinishedRun]]:
    """Title -> runs that differ in their seeds alone, by seed; titles are recipes and, where that is not enough, settings.

    Raises:
        RunError: If the same seed of a group is given twice.
    """
    kinds: dict[str, list[FinishedRun]] = {}
    for run in runs:
        kinds.setdefault(run.kind, []).append(run)
    groups = {}
    for members in kinds.values():
        pairs = [run.pair for run in members]
        if len(set(pairs)) < len(pairs):
            raise RunError(
                f"{members[0].folder.path} and {members[-1].folder.path} are the same run twice: same settings, same seed"
            )
        groups[_title(members[0], [others[0] for others in kinds.values()])] = sorted(members, key=lambda run: run.pair)
    return groups


def _title(run: FinishedRun, firsts: Sequence[FinishedRun]) -> str:
    own = run.flat()
    same_recipe = [other.flat() for other in firsts if other.flat()["recipe"] == own["recipe"]]
    differing = [name for name in own if any(other[name] != own[name] for other in same_recipe)]
    text = ", ".join(f"{name} {_short(own[name])}" for name in differing)
    return f"{own['recipe']} ({text})" if text else own["recipe"]


def _short(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def differences(groups: Mapping[str, Sequence[FinishedRun]]) -> list[str]:
    """A line for everything that makes the numbers of different runs no comparison."""
    lines = []
    for names, meaning in ((SAME_TEST, "they are not tested on the same images"), (SAME_LABELS, "labels differ")):
        for name in names:
            values: dict[str, list[str]] = {}
            for title, runs in groups.items():
                value = " ".join(dict.fromkeys(str(run.settings["data"][name]) for run in runs))
                values.setdefault(value, []).append(title)
            if len(values) > 1:
                which = "; ".join(f"{value} ({', '.join(titles)})" for value, titles in values.items())
                lines.append(f"not comparable, {meaning}: {name} {which}")
    pairs = [{run.pair for run in runs} for runs in groups.values()]
    if len(groups) > 1 and not set.intersection(*pairs):
        lines.append("the runs have no seed in common, so part of their difference is that of the seeds")
    return lines


def leagues(groups: Mapping[str, Sequence[FinishedRun]]) -> str:
    """A sentence where some encoders were pre-trained and others were not, or on something else; else empty."""
    kinds: dict[str, list[str]] = {}
    for title, runs in groups.items():
        kinds.setdefault(runs[0].pretrained, []).append(title)
    if len(kinds) < 2:
        return ""
    which = "; ".join(f"{kind or 'from scratch'}: {', '.join(titles)}" for kind, titles in kinds.items())
    return f"different leagues, in part the difference is that of the encoders' pre-training ({which})"


def mean_scores(runs: Sequence[FinishedRun]) -> Scores:
    """Mean over seeds of every metric; NaN where a run has none."""
    return {
        task: {metric: spread([value_of(run, task, metric) for run in runs]).mean for metric in metrics}
        for task, metrics in runs[0].scores.items()
    }


def value_of(run: FinishedRun, task: str, metric: str) -> float:
    """A run's score on the test set; NaN where it has none."""
    value = run.scores.get(task, {}).get(metric)
    return math.nan if value is None else value


def statistics(groups: Mapping[str, Sequence[FinishedRun]], tasks: Mapping[str, Task]) -> str:
    """Paired tests of every group against the first, in words; empty without two seeds in common or a task in common."""
    common = sorted(set.intersection(*({run.pair for run in runs} for runs in groups.values())))
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
