from __future__ import annotations

import math

import numpy as np
import pytest

from mgm.experiments.comparisons import Question, answer_questions, sentence, summary
from mgm.experiments.statistics import compare_paired, holm

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


def test_correction_covers_all_tasks_of_all_questions():
    table = results(mt=(0, 0, 0), st=(0, 0, 0), mgm=(0.01, 0.004, 0.002))
    questions = [Question("mgm", "mt"), Question("mgm", "st")]
    answers = answer_questions(table, questions, HIGHER)
    plain = [
        compare_paired(table["mgm"][task], table[q.reference][task], higher_is_better=higher)
        for q in questions
        for task, higher in HIGHER.items()
    ]
    assert [task.comparison for answer in answers for task in answer.tasks.values()] == plain
    assert [task.adjusted_p for answer in answers for task in answer.tasks.values()] == holm([p.t_p for p in plain])
    assert [a.delta_m_adjusted_p for a in answers] == holm([a.delta_m.t_p for a in answers])


def test_gains_are_relative_to_the_reference():
    table = {"a": {"depth": [0.8, 0.9]}, "b": {"depth": [1.0, 1.0]}}
    (answer,) = answer_questions(table, [Question("a", "b")], {"depth": False})
    assert answer.tasks["depth"].gain == pytest.approx(0.15)
    assert answer.delta_m.mean == pytest.approx(0.15)


def test_sentence_of_a_mixed_answer():
    table = results(mt=(0, 0, 0), mgm=(0.05, -0.04, 0.0))
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    text = sentence(answer)
    assert text.startswith("mgm beats mt on 1 of 3 tasks at p < 0.05: semantic +5.")
    assert "; mgm loses to mt on 1 of 3 tasks at p < 0.05: depth -4.0 % (p < 0.001); " in text
    assert "; no difference can be shown on the other 1: normal " in text
    assert ". Mean over tasks +0." in text


def test_better_and_worse_are_told_in_the_same_words():
    table = results(mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    better, worse = answer_questions(table, [Question("mgm", "mt"), Question("mt", "mgm")], HIGHER)
    assert "beats mt on 3 of 3 tasks" in sentence(better)
    assert "mt loses to mgm on 3 of 3 tasks" in sentence(worse)
    assert all(better.tasks[task].adjusted_p == worse.tasks[task].adjusted_p for task in HIGHER)


def test_a_named_share_without_a_difference():
    table = results(mgm=(0, 0, 0), mgm_no_generator=(0, 0, 0))
    question = Question("mgm", "mgm_no_generator", about="the generator's own share")
    text = sentence(answer_questions(table, [question], HIGHER)[0])
    assert text.startswith(
        "The generator's own share: no difference between mgm and mgm_no_generator can be shown on any of 3 tasks: "
    )


@pytest.mark.parametrize("alpha, verdict", [(0.5, "better"), (1e-9, "open")])
def test_level_of_significance(alpha, verdict):
    table = results(mt=(0, 0, 0), mgm=(0.01, 0.01, 0.01))
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert {task.verdict(alpha) for task in answer.tasks.values()} == {verdict}


def test_one_seed_says_so():
    table = results(1, mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert sentence(answer).startswith("Too few runs to tell mgm and mt apart on any task: semantic +5.")
    assert "(" not in sentence(answer)


def test_missing_runs():
    table = results(mt=(0, 0, 0), mgm=(0.05, 0.05, 0.05))
    table["mgm"]["depth"][2] = NAN
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert [task.comparison.count for task in answer.tasks.values()] == [5, 4, 5]
    assert answer.delta_m.count == 4
    table["mgm"]["depth"] = [NAN] * 5
    (answer,) = answer_questions(table, [Question("mgm", "mt")], HIGHER)
    assert math.isnan(answer.tasks["depth"].adjusted_p)
    assert "depth unknown" in sentence(answer)


def test_summary_says_how_and_what_few_seeds_do_not_allow():
    questions = [Question("mgm", "mt"), Question("mgm", "mgm_control", about="the generator beyond equal cost")]
    shifts = {"mt": (0, 0, 0), "mgm": (0.05, 0.05, 0.05), "mgm_control": (0.05, 0.05, 0.05)}
    lines = summary(answer_questions(results(5, **shifts), questions, HIGHER)).splitlines()
    assert len(lines) == 4
    assert lines[2] == "Two-sided paired t-tests over 5 seeds, corrected over 6 comparisons (Holm); + is better."
    assert lines[3].endswith("cannot reach p < 0.05: its least value is 0.0625.")
    assert len(summary(answer_questions(results(6, **shifts), questions, HIGHER)).splitlines()) == 3
