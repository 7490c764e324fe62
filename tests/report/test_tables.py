import math
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from mgm.errors import ConfigError
from mgm.report.tables import score_table
from mgm.tasks import make_tasks
from mgm.tasks.metrics import percent

TASKS = make_tasks(("semantic", "depth", "normal"), ("wall", "floor"))


def scores(miou, depth, angle):
    return {
        "semantic": {"miou": miou, "pixel_accuracy": 0.5},
        "depth": {"abs_error_m": depth},
        "normal": {"angle_deg": angle},
    }


RESULTS = {"constant": scores(0.02, 1.2, 40.0), "MT": scores(0.2, 0.8, 25.0), "MGM [ours]": scores(0.22, 0.6, 25.5)}


def cells(markdown):
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in markdown.splitlines()]


def primary(table):
    return replace(table, columns=[column for column in table.columns if column.primary])


def render(table, width=200):
    console = Console(width=width, force_terminal=True, color_system=None, _environ={})
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_markdown_holds_the_numbers_with_the_best_in_bold_in_both_directions():
    header, rule, constant, baseline, ours, gain = cells(primary(score_table(RESULTS, TASKS)).markdown())
    assert header[1:] == [
        "Semantic segmentation: mIoU ↑",
        "Depth: absolute error [m] ↓",
        "Surface normals: mean angle [°] ↓",
    ]
    assert rule == [":--", "--:", "--:", "--:"]
    assert constant == ["constant", "0.020", "1.200", "40.00"]
    assert baseline == ["MT", "0.200", "0.800", "**25.00**"]
    assert ours == ["MGM [ours]", "**0.220**", "**0.600**", "25.50"]
    assert gain == ["gain over MT (mean +11.0 %)", "+10.0 %", "+25.0 %", "-2.0 %"]


def test_gain_over_another_baseline():
    gain = cells(primary(score_table(RESULTS, TASKS, baseline="constant")).markdown())[-1]
    assert gain[1:] == ["+1000.0 %", "+50.0 %", "+36.2 %"]
    with pytest.raises(ConfigError, match="constant"):
        score_table(RESULTS, TASKS, baseline="constnat")


def test_no_gain_over_the_constant_prediction_unless_asked_for():
    alone = {title: RESULTS[title] for title in ("constant", "MT")}
    assert "gain" not in score_table(alone, TASKS).markdown()
    assert "gain over constant" in score_table(alone, TASKS, baseline="constant").markdown()


def test_all_metrics_in_the_tasks_order():
    header, *rows = cells(score_table(RESULTS, TASKS).markdown())
    assert len(header) == 1 + sum(len(task.metrics_info) for task in TASKS.values())
    assert all(len(row) == len(header) for row in rows)
    assert rows[1][2] == "**0.500**"  # a tie: all are the best
    assert rows[1][3] == "–"
    assert rows[-1][2] == ""


def test_unknown_values_are_never_the_best():
    results = {
        "constant": scores(math.nan, None, 40.0),
        "MT": {"semantic": {"miou": 0.2}},
        "MGM": scores(0.1, None, 20.0),
    }
    rows = cells(primary(score_table(results, TASKS)).markdown())
    assert rows[2] == ["constant", "–", "–", "40.00"]
    assert rows[3] == ["MT", "**0.200**", "–", "–"]
    assert rows[4] == ["MGM", "0.100", "–", "**20.00**"]
    assert rows[5] == ["gain over MT (mean –)", "-50.0 %", "–", "–"]


def test_a_single_model_has_nothing_to_be_better_than():
    rows = cells(primary(score_table({"MGM": RESULTS["MT"]}, TASKS)).markdown())
    assert rows[2:] == [["MGM", "0.200", "0.800", "25.00"]]
    assert len(score_table({"MGM": RESULTS["MT"]}, TASKS).terminal().columns) == 2


def test_names_cannot_break_the_markdown():
    rows = cells(score_table({"a|b": RESULTS["MT"]}, TASKS).markdown())
    assert rows[2][0] == "a&#124;b"
    assert len(rows[2]) == len(rows[0])


def test_terminal_table_shows_the_same():
    text = render(primary(score_table(RESULTS, TASKS)).terminal())
    for part in ("MGM [ours]", "absolute error [m] ↓", "0.220", "25.50", "gain over MT", "+25.0 %", "-2.0 %"):
        assert part in text
    table = primary(score_table(RESULTS, TASKS)).terminal()
    assert [list(column.cells)[1] for column in table.columns[1:]] == [
        "0.020",
        "0.200",
        "[bold green]0.220[/]",
        "+10.0 %",
    ]
    assert [list(column.cells)[5] for column in table.columns[2:4]] == ["[bold green]25.00[/]", "25.50"]


def test_terminal_table_fits_into_80_columns_with_a_line_per_metric():
    text = render(score_table(RESULTS, TASKS).terminal(), width=80)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "0.220" in text
    metrics = sum(len(task.metrics_info) for task in TASKS.values())
    assert sum(line.startswith("│") for line in text.splitlines()) == metrics + len(TASKS)


def test_nothing_is_a_negative_zero_after_rounding():
    assert (percent(-0.0001), percent(0.0), percent(-0.0051)) == ("+0.0 %", "+0.0 %", "-0.5 %")
    assert TASKS["depth"].metrics_info["abs_error_m"].text(-1e-6) == "0.000 m"
    assert TASKS["normal"].describe(torch.tensor([-1e-6, 0.0, -1.0])).startswith("(0.00, 0.00, −1.00)")
