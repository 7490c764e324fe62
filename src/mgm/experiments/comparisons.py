"""Paired comparisons of recipes over tasks and seeds, as tests and as sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mgm.experiments.statistics import PairedComparison, compare_paired, holm, least_sign_flip_p, spread
from mgm.tasks.metrics import mean_relative_gain

Results = Mapping[str, Mapping[str, Sequence[float]]]
"""Recipe -> task -> value of its primary metric per seed: the same seeds in the same order everywhere, NaN where missing."""


@dataclass(frozen=True)
class Question:
    """A pair of recipes to compare."""

    recipe: str
    reference: str
    about: str = ""
    """What their difference shows, for the sentence: ``"the generator's own share"``."""


@dataclass(frozen=True)
class TaskAnswer:
    """The answer for one task."""

    comparison: PairedComparison
    gain: float
    """Mean improvement relative to the reference's mean: a fraction, positive is better."""
    adjusted_p: float
    """Of the t-test, corrected over all tasks and questions (Holm)."""

    def verdict(self, alpha: float) -> str:
        """``better``, ``worse`` or ``open``: no difference can be shown."""
        if not self.adjusted_p < alpha:
            return "open"
        return "better" if self.comparison.mean > 0 else "worse"


@dataclass(frozen=True)
class Answer:
    """The answer to a question."""

    question: Question
    tasks: Mapping[str, TaskAnswer]
    delta_m: PairedComparison
    """Mean relative improvement over tasks per seed, compared with 0."""
    delta_m_adjusted_p: float
    """Of its t-test, corrected over questions (Holm)."""


def answer_questions(
    results: Results, questions: Sequence[Question], higher_is_better: Mapping[str, bool], level: float = 0.95
) -> list[Answer]:
    """Test every question on every task, together, so that the correction covers the whole table.

    Args:
        results: Values of all recipes that the questions name.
        questions: Pairs to compare.
        higher_is_better: Task -> direction; these tasks are compared.
        level: Confidence of the intervals.
    """
    pairs = [(results[question.recipe], results[question.reference]) for question in questions]
    compared = [
        {
            task: compare_paired(ours[task], theirs[task], higher_is_better=higher, level=level)
            for task, higher in higher_is_better.items()
        }
        for ours, theirs in pairs
    ]
    adjusted = iter(holm([comparison.t_p for tasks in compared for comparison in tasks.values()]))
    gains = [_gains_per_seed(ours, theirs, higher_is_better) for ours, theirs in pairs]
    means = [compare_paired(values, [0.0] * len(values), level=level) for values in gains]
    adjusted_means = holm([mean.t_p for mean in means])
    return [
        Answer(
            question,
            {
                task: TaskAnswer(comparison, _relative(comparison, theirs[task]), next(adjusted))
                for task, comparison in tasks.items()
            },
            mean,
            p,
        )
        for question, (_, theirs), tasks, mean, p in zip(questions, pairs, compared, means, adjusted_means, strict=True)
    ]


def _gains_per_seed(
    ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]], higher_is_better: Mapping[str, bool]
) -> list[float]:
    seeds = range(len(next(iter(ours.values()))))
    return [
        mean_relative_gain(
            {task: ours[task][seed] for task in higher_is_better},
            {task: theirs[task][seed] for task in higher_is_better},
            higher_is_better,
        )
        for seed in seeds
    ]


def _relative(comparison: PairedComparison, reference: Sequence[float]) -> float:
    base = abs(spread(reference).mean)
    return comparison.mean / base if base else math.nan


def sentence(answer: Answer, alpha: float = 0.05) -> str:
    """The answer in words: on which tasks the recipe is better, on which worse, on which nothing can be shown.

    Args:
        answer: From `answer_questions`.
        alpha: Level of significance.
    """
    question, total = answer.question, len(answer.tasks)
    by_verdict = {
        verdict: {name: task for name, task in answer.tasks.items() if task.verdict(alpha) == verdict}
        for verdict in ("better", "worse", "open")
    }
    clauses = [
        f"{question.recipe} {verb} {question.reference} on {len(by_verdict[verdict])} of {total} tasks at p < {alpha:g}: "
        f"{_gains(by_verdict[verdict])}"
        for verdict, verb in (("better", "beats"), ("worse", "loses to"))
        if by_verdict[verdict]
    ]
    if all(math.isnan(task.adjusted_p) for task in answer.tasks.values()):
        clauses = [
            f"too few runs to tell {question.recipe} and {question.reference} apart on any task: {_gains(answer.tasks)}"
        ]
    elif by_verdict["open"]:
        which = f"on the other {len(by_verdict['open'])}" if clauses else f"on any of {total} tasks"
        between = "" if clauses else f" between {question.recipe} and {question.reference}"
        clauses.append(f"no difference{between} can be shown {which}: {_gains(by_verdict['open'])}")
    about = f"{question.about}: " if question.about else ""
    text = f"{about}{'; '.join(clauses)}. Mean over tasks {_mean_gain(answer)}."
    starts_with_name = text.startswith(question.recipe)
    return text if starts_with_name else text[0].upper() + text[1:]


def _gains(tasks: Mapping[str, TaskAnswer]) -> str:
    return ", ".join(
        f"{name} {_percent(task.gain)}" + ("" if math.isnan(task.adjusted_p) else f" ({_p(task.adjusted_p)})")
        for name, task in tasks.items()
    )


def _mean_gain(answer: Answer) -> str:
    mean = answer.delta_m
    if math.isnan(mean.t_p):
        return _percent(mean.mean)
    interval = f"{_percent(mean.low)} to {_percent(mean.high)}"
    return f"{_percent(mean.mean)} ({interval}, {_p(answer.delta_m_adjusted_p)})"


def _percent(fraction: float) -> str:
    return "unknown" if math.isnan(fraction) else f"{100 * fraction:+.1f} %"


def _p(value: float) -> str:
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def summary(answers: Sequence[Answer], alpha: float = 0.05) -> str:
    """A line per answer, then the method and, where it matters, what the number of seeds cannot show."""
    counts = {task.comparison.count for answer in answers for task in answer.tasks.values()}
    tests = sum(not math.isnan(task.adjusted_p) for answer in answers for task in answer.tasks.values())
    seeds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    lines = [sentence(answer, alpha) for answer in answers]
    lines.append(
        f"Two-sided paired t-tests over {seeds} seeds, corrected over {tests} comparisons (Holm); + is better."
    )
    if least_sign_flip_p(min(counts)) >= alpha:
        lines.append(
            f"With {min(counts)} seeds the sign-flip test, which assumes no normal distribution, cannot reach "
            f"p < {alpha:g}: its least value is {least_sign_flip_p(min(counts)):.3g}."
        )
    return "\n".join(lines)
