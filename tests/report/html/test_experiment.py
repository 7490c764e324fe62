import math

from mgm.experiments.study_records import Cell, MetricColumn, ModelRow, ResultTable
from mgm.report.html.experiment import table_section

MIOU = MetricColumn("semantic", "miou", "mIoU")
ANGLE = MetricColumn("normal", "angle_deg", "mean angle", "°", higher_is_better=False)


def row(model, miou, angle, setting="25 %", paper=None):
    return ModelRow(model, {MIOU.key: Cell(miou, 0.01, [miou], paper), ANGLE.key: Cell(angle)}, setting, count=3)


def bests(section):
    return [[[cell.best for cell in cells] for _, _, cells in rows] for _, rows in section.groups]


def test_the_best_of_each_setting_by_the_metrics_own_direction():
    rows = [row("MT", 0.2, 30.0), row("MGM", 0.3, 31.0), row("MT", 0.5, 20.0, "10 %"), row("MGM", 0.4, 19.0, "10 %")]
    section = table_section(ResultTable([MIOU, ANGLE], rows))
    assert [setting for setting, _ in section.groups] == ["25 %", "10 %"]
    assert bests(section) == [[[False, True], [True, False]], [[True, False], [False, True]]]
    assert [metric for _, metric, _ in section.columns] == ["mIoU ↑", "mean angle [°] ↓"]
    assert section.groups[0][1][0][2][1].mean == "30.00"


def test_the_papers_values_take_no_part():
    rows = [row("MT", 0.2, 30.0, paper=0.9), row("MGM", 0.3, 31.0)]
    section = table_section(ResultTable([MIOU, ANGLE], rows))
    assert bests(section)[0] == [[False, True], [True, False]]
    assert [paper for _, _, paper in section.columns] == [True, False]
    assert [[cell.paper for cell in cells] for _, _, cells in section.groups[0][1]] == [["0.900", ""], ["", ""]]


def test_what_is_unknown_is_a_dash_and_never_the_best_and_one_seed_has_no_spread():
    nothing = ModelRow("ST", {}, "25 %")
    section = table_section(ResultTable([MIOU, ANGLE], [nothing, row("MT", math.nan, None), row("MGM", 0.1, 31.0)]))
    ((_, rows),) = section.groups
    assert [[cell.mean for cell in cells] for _, _, cells in rows] == [["–", "–"], ["–", "–"], ["0.100", "31.00"]]
    assert [[cell.std for cell in cells] for _, _, cells in rows] == [["", ""], ["", ""], ["0.010", ""]]
    assert not any(cell.best for _, _, cells in rows for cell in cells)
    assert table_section(ResultTable([], [nothing])).groups == [("25 %", [(nothing, "ST", [])])]
