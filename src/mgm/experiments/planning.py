"""Planning of an experiment: the differences that a number of seeds would detect, estimated from pilot runs, and the cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from mgm.experiments.comparisons import seeds_text
from mgm.experiments.execution import check_same_data
from mgm.experiments.plans import Plan, Trial
from mgm.experiments.statistics import LEVEL, detectable_difference
from mgm.experiments.study_files import Place, decimal, markdown_rows
from mgm.experiments.tables import Table, make_table
from mgm.runs.folder import read_result, seconds_spent
from mgm.tasks.metrics import UNKNOWN

FEW_PILOTS = 3
"""With fewer pilot runs, the estimate of the standard deviation is very uncertain."""


def planned(plan: Plan, place: Place, data: str, workers: int | None) -> str:
    """Report in Markdown: detectable differences per primary question and task, then the remaining trials and hours.

    The plan has the intended number of seeds; its finished trials are the pilot runs. ``workers`` trials run at a time (None:
    unknown).

    Raises:
        RunError: If the data have changed since the pilot runs.
    """
    check_same_data(plan.trials, place)
    table = make_table(plan, place.trial, data)
    lines = [f"{plan.name} ({plan.study.title}), {len(plan.seeds)} seeds\n"]
    counts = [test.comparison.count for answer in table.answers if answer.question.primary for test in answer.measured]
    if counts:
        lines.append(_sensitivity(table))
        pilots = min(counts)
        if pilots < FEW_PILOTS:
            lines.append(
                f"The standard deviation is estimated from {pilots} pairs of pilot runs and may be off by a factor of two or "
                "more.\n"
            )
    else:
        lines.append(
            "Fewer than two pilot seeds are finished: run the experiment with --seeds 2 or more, then repeat this with the "
            "intended --seeds.\n"
        )
    return "\n".join([*lines, _cost(plan.trials, place, workers)])


def _sensitivity(table: Table) -> str:
    answers, seeds = [answer for answer in table.answers if answer.question.primary], len(table.plan.seeds)
    tests = sum(not math.isnan(test.p) for answer in answers for test in answer.tests.values())
    level = LEVEL / max(1, tests)
    rows: list[list[str]] = []
    for answer in answers:
        for task, test in answer.tests.items():
            one = test.comparison
            paper = UNKNOWN if test.needed_for_paper is None else str(test.needed_for_paper)
            least = detectable_difference(one.std, seeds, level)
            base = abs(one.mean / test.gain) if test.gain else math.nan
            digits = table.digits(task)
            cells = [decimal(one.mean, digits, "+"), decimal(one.std, digits), decimal(least, digits)]
            relative = UNKNOWN if math.isnan(least / base) else f"{100 * least / base:.1f} %"
            named = f"{answer.question.recipe} − {answer.question.reference}"
            rows.append([named, task, str(one.count), *cells, relative, seeds_text(test.needed, one.std), paper])
    header = ["primary question", "task", "pilots", "difference", "std", f"detectable, {seeds} seeds", "relative"]
    header += ["seeds for this difference", "for the paper's"]
    about = f"Power 80 %, significance level {LEVEL:g} / {tests} tests (first step of Holm's correction).\n"
    return f"{markdown_rows(header, rows, left=2)}\n{about}"


def _cost(trials: Sequence[Trial], place: Place, workers: int | None) -> str:
    """Number and duration of the remaining trials, from the mean duration of finished ones with the same recipe and labels."""
    seconds: dict[tuple[str, float], list[float]] = {}
    left: Counter[tuple[str, float]] = Counter()
    for trial in trials:
        kind = (trial.experiment.recipe, trial.experiment.data.fraction)
        run = place.trial(trial)
        if run.finished:
            seconds.setdefault(kind, []).append(seconds_spent([read_result(run.result)]))
        else:
            left[kind] += 1
    if not left:
        return f"All {len(trials)} trials are finished."
    text = f"{left.total()} of {len(trials)} trials are left"
    unknown = sorted({recipe for recipe, _ in left.keys() - seconds.keys()})
    if unknown:
        return f"{text}; their duration is unknown until one trial of each of these recipes is finished: {', '.join(unknown)}."
    hours = sum(count * fmean(seconds[kind]) for kind, count in left.items()) / 3600
    text += f": {hours:.1f} hours of training"
    if workers is None:
        return f"{text}."
    together = min(workers, left.total())
    return f"{text}, {hours / together:.1f} with {together} at a time."
