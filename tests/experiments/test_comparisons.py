import math

import numpy as np
import pytest

from mgm.experiments.comparisons import MEAN, Question, answer_questions, seeds_text, sentence, summary
from mgm.experiments.statistics import compare_paired, detectable_difference, holm, pairs_needed, power

HIGHER = {"semantic": True, "depth": False, "normal": False}
NAN = float("nan")


def results(seeds=5, **shifts):
    """Recipe -> task -> values; a shift is a relative improvement per task."""
    random = np.random.default_rng(0)
    base = {"semantic": 0.2, "depth": 0.9, "normal": 0.3}
    common = {task: value * (1 + 0.02 * random.normal(size=seeds)) for task, value in base.items()}
    return {
        recipe: {
            task: list(
                common[task] + base[task] * ((1 if HIGHER[task] else -1) * gain + 0.002 * random.normal(size=seeds))
            )
            for task, gain in zip(base, gains, strict=True)
        }
        for recipe, gains in shifts.items()
    }


def test_primary_questions_are_corrected_among_themselves_on_the_mean_and_on_each_task():
    table = results(mt=(0, 0, 0), st=(0, 0, 0), other=(0, 0, 0), mgm=(0.01, 0.004, 0.002))
    questions = [Question("mgm", "mt"), Question("mgm", "st"), Question("mgm", "other", primary=False)]
    answers = answer_questions(table, questions, HIGHER)
    plain = [
        compare_paired(table["mgm"][task], table[q.reference][task], higher_is_better=higher)
        for q in questions
        for task, higher in HIGHER.items()
    ]
    assert [task.comparison for answer in answers for task in answer.tasks.values()] == plain
    family = [test for answer in answers[:2] for test in answer.tests.values()]
    assert [test.p for test in family] == holm([test.comparison.t_p for test in family])
    assert len(family) == 2 * 4
    assert all(test.p == test.comparison.t_p for test in answers[2].tests.values()), "exploratory: not corrected"


def test_exploratory_answers_say_so_and_decide_nothing():
    table = results(mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    (answer,) = answer_questions(table, [Question("mgm", "mt", primary=False)], HIGHER)
    assert sentence(answer).startswith("Exploratory (p-values not corrected): mgm vs. mt: semantic +5.")
    assert "better" not in sentence(answer)


def test_what_a_number_of_seeds_can_show_is_said():
    table = results(mt=(0, 0, 0), mgm=(0.01, 0.01, 0.01))
    paper = {MEAN: 0.05, "depth": 0.04}
    (answer,) = answer_questions(table, [Question("mgm", "mt", paper=paper)], HIGHER)
    mean, depth = answer.mean, answer.tasks["depth"]
    assert mean.detectable == detectable_difference(mean.comparison.std, 5, 0.05 / 4)
    assert power(mean.detectable, mean.comparison.std, 5, 0.05 / 4) == pytest.approx(0.8)
    assert mean.needed == pairs_needed(mean.comparison.mean, mean.comparison.std, 0.05 / 4)
    base = float(np.mean(table["mt"]["depth"]))
    assert depth.needed_for_paper == pairs_needed(0.04 * base, depth.comparison.std, 0.05 / 4)
    assert answer.tasks["normal"].needed_for_paper is None
    text = sentence(answer)
    assert f"5 seeds detect a mean gain of {100 * mean.detectable:.1f} % with 80 % power; " in text
    assert f"the observed gain would need {mean.needed} seeds and the paper's (+5.0 %) {mean.needed_for_paper}." in text


@pytest.mark.parametrize(
    ("gain", "expected", "passed"), [(0.05, "found", True), (0, "found", False), (-0.05, "found", False),
                                     (0, "nothing", True), (0.05, "nothing", False)]
)  # fmt: skip
def test_controls_say_whether_they_show_what_they_must(gain, expected, passed):
    table = results(mt=(0, 0, 0), other=(gain, gain, gain))
    (answer,) = answer_questions(table, [Question("other", "mt", expected=expected)], HIGHER)
    assert answer.as_expected is passed
    assert ("NOT as expected" in sentence(answer)) == (not passed)
    (answer,) = answer_questions(
        results(1, mt=(0, 0, 0), other=(0, 0, 0)), [Question("other", "mt", expected=expected)], HIGHER
    )
    assert answer.as_expected is None


def test_gains_are_relative_to_the_reference():
    table = {"a": {"depth": [0.8, 0.9]}, "b": {"depth": [1.0, 1.0]}}
    (answer,) = answer_questions(table, [Question("a", "b")], {"depth": False})
    assert answer.tasks["depth"].gain == pytest.approx(0.15)
    assert answer.mean.gain == pytest.approx(0.15)


def test_sentence_of_a_mixed_answer():
    table = results(mt=(0, 0, 0), mgm=(0.05, -0.04, 0.0))
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    text = sentence(answer)
    assert text.startswith("mgm is better than mt on 1 of 3 tasks at p < 0.05: semantic +5.")
    assert "; mgm is worse than mt on 1 of 3 tasks at p < 0.05: depth -4.0 % (p < 0.001); " in text
    assert "; no significant difference on the other 1: normal " in text
    assert ". Mean over tasks: +0." in text


def test_better_and_worse_are_told_in_the_same_words():
    table = results(mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    better, worse = answer_questions(table, [Question("mgm", "mt"), Question("mt", "mgm")], HIGHER)
    assert "mgm is better than mt on 3 of 3 tasks" in sentence(better)
    assert "mt is worse than mgm on 3 of 3 tasks" in sentence(worse)
    assert all(better.tasks[task].p == worse.tasks[task].p for task in HIGHER)


def test_a_named_share_without_a_difference():
    table = results(mgm=(0, 0, 0), mgm_no_generator=(0, 0, 0))
    question = Question("mgm", "mgm_no_generator", about="what the generator adds")
    text = sentence(answer_questions(table, [question], HIGHER)[0])
    assert text.startswith(
        "What the generator adds: no significant difference between mgm and mgm_no_generator on any of 3 tasks: "
    )


def test_one_seed_says_so():
    table = results(1, mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert sentence(answer).startswith("Too few runs to compare mgm with mt on any task: semantic +5.")
    assert "(" not in sentence(answer)
    assert "power" not in sentence(answer)
    assert summary([answer]) == sentence(answer), "nothing about tests"


def test_missing_runs():
    table = results(mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    table["mgm"]["depth"][2] = NAN
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert [task.comparison.count for task in answer.tasks.values()] == [5, 4, 5]
    assert answer.mean.comparison.count == 4
    table["mgm"]["depth"] = [NAN] * 5
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert math.isnan(answer.tasks["depth"].p)
    assert "depth –" in sentence(answer)
    text = summary([answer])
    assert "Two-sided paired t-tests over 5 seeds, Holm-corrected over the 2 comparisons" in text
    assert "With 5 seeds the sign-flip test" in text


def test_gain_and_difference_are_over_the_same_seeds():
    table = {"a": {"depth": [0.1, NAN, NAN]}, "b": {"depth": [0.2, 0.25, 0.31]}}
    (answer,) = answer_questions(table, [Question("a", "b")], {"depth": False})
    assert answer.tasks["depth"].gain == pytest.approx(0.5)
    assert answer.mean.gain == pytest.approx(0.5)


@pytest.mark.parametrize(("std", "text"), [(NAN, "–"), (0.0, "–"), (0.1, "more than 10,000")])
def test_seeds_needed_are_unknown_without_variation(std, text):
    assert seeds_text(None, std) == text


def test_summary_says_how_and_what_few_seeds_do_not_allow():
    questions = [Question("mgm", "mt"), Question("mgm", "mgm_control", about="the generator beyond equal cost")]
    shifts = {"mt": (0, 0, 0), "mgm": (0.05, 0.05, 0.05), "mgm_control": (0.05, 0.05, 0.05)}
    lines = summary(answer_questions(results(5, **shifts), questions, HIGHER)).splitlines()
    assert len(lines) == 4
    assert lines[2] == "Two-sided paired t-tests over 5 seeds, Holm-corrected over the 8 comparisons; + is better."
    assert lines[3].endswith("cannot reach p < 0.05: its smallest possible p-value is 0.0625.")
    assert len(summary(answer_questions(results(6, **shifts), questions, HIGHER)).splitlines()) == 3
