"""Paired comparisons of recipes over tasks and seeds: statistical tests, and sentences that report them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mgm.experiments.bootstrap import Resampled
from mgm.experiments.statistics import (
    LEVEL,
    PairedComparison,
    compare_paired,
    detectable_difference,
    holm,
    least_sign_flip_p,
    pairs_needed,
    spread,
)
from mgm.tasks.metrics import UNKNOWN, mean_relative_gain, percent

Results = Mapping[str, Mapping[str, Sequence[float]]]
"""Recipe -> task -> value of its primary metric per seed: the same seeds in the same order everywhere, NaN where missing."""
MEAN = "mean relative gain Δm"
"""Name of the mean over tasks in places where tasks are named."""


@dataclass(frozen=True)
class Question:
    """A pair of recipes to compare."""

    recipe: str
    reference: str
    about: str = ""
    """What the difference measures, as the start of the sentence: ``"what the generator adds"``."""
    primary: bool = True
    """Whether the question was stated before the runs. Primary questions are corrected for multiple testing among themselves; all
    others are exploratory."""
    expected: Literal["", "found", "nothing"] = ""
    """Expected outcome of a positive control (a difference) or of a null comparison (none)."""
    paper: Mapping[str, float] = field(default_factory=dict[str, float])
    """Task or `MEAN` -> the relative gain that the paper reports."""


@dataclass(frozen=True)
class Test:
    """Test of the difference between two recipes, on one task or on the mean over tasks."""

    __test__ = False  # keeps pytest from collecting the class

    comparison: PairedComparison
    gain: float
    """Mean improvement relative to the reference's mean over the same seeds: a fraction, positive is better."""
    p: float
    """p-value of the t-test; for primary questions Holm-corrected over all of them."""
    detectable: float
    """Smallest difference that this number of seeds detects with 80 % power, in the metric's unit, at the significance level of the
    first step of the correction."""
    needed: int | None
    """Number of seeds that would detect the observed difference with 80 % power, given the observed standard deviation; None:
    unknown, or over 10,000."""
    needed_for_paper: int | None
    """The same for the relative gain reported in the paper."""
    bootstrap: Resampled | None = None
    """The difference under resampling of seeds and test images; None if the runs have no per-image scores."""

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``open`` (no significant difference)."""
        if not self.p < LEVEL:
            return "open"
        return "better" if self.comparison.mean > 0 else "worse"


@dataclass(frozen=True)
class Answer:
    """The answer to a question."""

    question: Question
    tasks: Mapping[str, Test]
    mean: Test
    """Test of the mean relative gain over tasks, per seed, against 0."""

    @property
    def tests(self) -> dict[str, Test]:
        """Task or `MEAN` -> test."""
        return {**self.tasks, MEAN: self.mean}

    @property
    def measured(self) -> list[Test]:
        """The tests with two pairs or more, so that they have a standard deviation."""
        return [test for test in self.tests.values() if test.comparison.count > 1]

    @property
    def as_expected(self) -> bool | None:
        """Whether a control has its expected outcome; None if the question is not a control, or there are too few seeds."""
        if not self.question.expected or math.isnan(self.mean.p):
            return None
        if self.question.expected == "found":
            return self.mean.verdict == "better"
        return all(test.verdict == "open" for test in self.tests.values())


def answer_questions(
    results: Results, questions: Sequence[Question], higher_is_better: Mapping[str, bool]
) -> list[Answer]:
    """Test every question on every task and on the mean over tasks, with one correction over all primary questions.

    The tasks are those of ``higher_is_better``, the directions of their metrics.
    """
    compared: list[dict[str, tuple[PairedComparison, float]]] = []
    for question in questions:
        ours, theirs = results[question.recipe], results[question.reference]
        tests = {
            task: (compare_paired(ours[task], theirs[task], higher_is_better=higher), _base(ours[task], theirs[task]))
            for task, higher in higher_is_better.items()
        }
        gains = _gains_per_seed(ours, theirs, higher_is_better)
        compared.append({**tests, MEAN: (compare_paired(gains, [0.0] * len(gains)), 1.0)})
    family = [one.t_p for q, tests in zip(questions, compared, strict=True) if q.primary for one, _ in tests.values()]
    first_step = LEVEL / max(1, sum(not math.isnan(p) for p in family))
    adjusted = iter(holm(family))
    answers: list[Answer] = []
    for question, tests in zip(questions, compared, strict=True):
        made: dict[str, Test] = {}
        for name, (one, base) in tests.items():
            alpha = first_step if question.primary else LEVEL
            wanted = question.paper.get(name, math.nan) * base
            made[name] = Test(
                one,
                one.mean / base if base else math.nan,
                next(adjusted) if question.primary else one.t_p,
                detectable_difference(one.std, one.count, alpha),
                pairs_needed(one.mean, one.std, alpha),
                pairs_needed(wanted, one.std, alpha),
            )
        mean = made.pop(MEAN)
        answers.append(Answer(question, made, mean))
    return answers


def _base(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Size of the reference's mean over the seeds that both have."""
    return abs(spread([their for our, their in zip(ours, theirs, strict=True) if not math.isnan(our)]).mean)


def _gains_per_seed(
    ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]], higher_is_better: Mapping[str, bool]
) -> list[float]:
    def of_seed(values: Mapping[str, Sequence[float]], seed: int) -> dict[str, float]:
        return {task: values[task][seed] for task in higher_is_better}

    seeds = range(len(next(iter(ours.values()))))
    return [mean_relative_gain(of_seed(ours, seed), of_seed(theirs, seed), higher_is_better) for seed in seeds]


def sentence(answer: Answer) -> str:
    """The answer in words: on which tasks the recipe is better, worse, or not significantly different."""
    question, total = answer.question, len(answer.tasks)
    about = f"{question.about}: " if question.about else ""
    if not question.primary:
        return (
            f"Exploratory (p-values not corrected): {about}{question.recipe} vs. {question.reference}: "
            f"{_gains(answer.tasks)}. Mean over tasks: {_mean_gain(answer.mean)}."
        )
    by_verdict = {
        verdict: {name: task for name, task in answer.tasks.items() if task.verdict == verdict}
        for verdict in ("better", "worse", "open")
    }
    clauses = [
        f"{question.recipe} {verb} {question.reference} on {len(by_verdict[verdict])} of {total} tasks at p < {LEVEL:g}: "
        f"{_gains(by_verdict[verdict])}"
        for verdict, verb in (("better", "is better than"), ("worse", "is worse than"))
        if by_verdict[verdict]
    ]
    if all(math.isnan(task.p) for task in answer.tasks.values()):
        clauses = [
            f"too few runs to compare {question.recipe} with {question.reference} on any task: {_gains(answer.tasks)}"
        ]
    elif by_verdict["open"]:
        which = f"on the other {len(by_verdict['open'])}" if clauses else f"on any of {total} tasks"
        between = "" if clauses else f" between {question.recipe} and {question.reference}"
        clauses.append(f"no significant difference{between} {which}: {_gains(by_verdict['open'])}")
    text = f"{about}{'; '.join(clauses)}. Mean over tasks: {_mean_gain(answer.mean)}.{_sensitivity(answer)}{_control(answer)}"
    return text if text.startswith(question.recipe) else text[0].upper() + text[1:]


def _gains(tasks: Mapping[str, Test]) -> str:
    return ", ".join(
        f"{name} {percent(task.gain)}" + ("" if math.isnan(task.p) else f" ({_p(task.p)})")
        for name, task in tasks.items()
    )


def _mean_gain(mean: Test) -> str:
    if math.isnan(mean.p):
        return percent(mean.gain)
    interval = f"95 % CI {percent(mean.comparison.low)} to {percent(mean.comparison.high)}"
    return f"{percent(mean.gain)} ({interval}, {_p(mean.p)})"


def _sensitivity(answer: Answer) -> str:
    """Detectable mean gain with this number of seeds, and the number of seeds needed for smaller ones."""
    mean = answer.mean
    if math.isnan(mean.detectable):
        return ""
    paper = answer.question.paper.get(MEAN, math.nan)
    std = mean.comparison.std
    needs = [f"the observed gain would need {seeds_text(mean.needed, std)} seeds"]
    if not math.isnan(paper):
        needs.append(f"the paper's ({percent(paper)}) {seeds_text(mean.needed_for_paper, std)}")
    detected = f"a mean gain of {100 * mean.detectable:.1f} %" if mean.detectable < 1 else "no mean gain below 100 %"
    return f" {mean.comparison.count} seeds detect {detected} with 80 % power; {' and '.join(needs)}."


def seeds_text(count: int | None, std: float) -> str:
    """A required number of seeds in words: None stands for more than 10,000, or for unknown if there is no variation ``std``."""
    if count is None:
        return "more than 10,000" if std > 0 else UNKNOWN
    return str(count)


def _control(answer: Answer) -> str:
    if answer.as_expected is None:
        return ""
    kind = "Positive control" if answer.question.expected == "found" else "Null comparison"
    return f" {kind}: {'as expected' if answer.as_expected else 'NOT as expected'}."


def _p(value: float) -> str:
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def summary(answers: Sequence[Answer]) -> str:
    """One line per answer; if there are tests, their procedure and, where it matters, the limits of so few seeds."""
    lines = [sentence(answer) for answer in answers]
    counts = {test.comparison.count for answer in answers for test in answer.measured}
    if not counts:
        return "\n".join(lines)
    primary = [test for answer in answers if answer.question.primary for test in answer.tests.values()]
    tests = sum(not math.isnan(test.p) for test in primary)
    seeds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    which = " of the primary questions" if any(not answer.question.primary for answer in answers) else ""
    lines.append(
        f"Two-sided paired t-tests over {seeds} seeds, Holm-corrected over the {tests} comparisons{which}; + is better."
    )
    if least_sign_flip_p(min(counts)) >= LEVEL:
        lines.append(
            f"With {min(counts)} seeds the sign-flip test, which does not assume normality, cannot reach p < {LEVEL:g}: "
            f"its smallest possible p-value is {least_sign_flip_p(min(counts)):.3g}."
        )
    return "\n".join(lines)
