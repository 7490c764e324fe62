import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from fake_trials import pretend, pretend_all, three_tasks
from mgm.experiments.catalogue import STUDIES
from mgm.experiments.plans import make_plan
from mgm.experiments.study_files import Place, as_csv, as_json, comparisons_markdown, markdown, write_study
from mgm.experiments.study_records import ResultTable
from mgm.experiments.tables import CONSTANT, columns_for, make_table
from mgm.method.recipes import make_experiment
from mgm.report.html.experiment import table_section
from mgm.tasks import TASKS
from mgm.training.metrics_log import plain

MAIN = ("semantic", "depth", "normal")
MODELS = ["ST", "MT", "MGM/G", "control", "MGM"]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def plan_of(name="table7", seeds=3, offered=MAIN, data="rooms", own_tasks=None):
    base = lambda recipe: make_experiment(recipe, "tiny")  # noqa: E731
    seeds = range(seeds)
    return make_plan(name, STUDIES[name], base, data=data, offered=offered, seeds=seeds, own_tasks=own_tasks)


def scores_of(cell):
    """Better from model to model, with seeds that move all alike."""
    level = MODELS.index(cell.row.title)
    return three_tasks(0.1 + 0.01 * level + 0.002 * cell.seed, 1.0 - 0.05 * level + 0.01 * cell.seed, 30.0 - level)


def test_cells_are_mean_and_standard_deviation_over_seeds(place) -> None:
    plan = plan_of()
    pretend_all(plan.cells, place.trial, scores_of)
    table = make_table(plan, place.trial, "rooms")
    assert [line.row.title for line in table.lines] == MODELS
    values = [1.0 - 0.05 * 4 + 0.01 * seed for seed in range(3)]
    cell = table.lines[-1].values["depth.abs_error_m"]
    assert cell.values == pytest.approx(values)
    assert cell.text(table.columns[1]) == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"
    assert cell.paper == 0.911


def test_small_numbers_have_the_decimals_of_their_metric(place) -> None:
    plan = plan_of("twice", seeds=2, offered=("strain",), own_tasks={"strain": {"range": (0, 0.002)}})
    level = {"MT": 1.5e-4, "MT, twice the labels": 1.2e-4}
    pretend_all(
        plan.cells, place.trial, lambda c: {"strain": {"abs_error": level[c.row.title] * (1 + 0.1 * c.seed**2)}}
    )
    table = make_table(plan, place.trial, "rooms")
    assert "| 0.0001575 ± 0.0000106 |" in markdown(table)
    assert "+0.00003150 |" in comparisons_markdown(table)
    shown = table_section(TypeAdapter(ResultTable).validate_python(json.loads(json.dumps(plain(as_json(table))))))
    assert [cell.mean for _, group in shown.groups for _, _, cells in group for cell in cells] == [
        "0.0001575",
        "0.0001260",
    ]


def test_markdown_has_the_papers_values_in_columns_of_their_own(place) -> None:
    plan = plan_of()
    pretend_all(plan.cells, place.trial, scores_of)
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown(make_table(plan, place.trial, "rooms")).splitlines()
    ]
    assert lines[0] == [
        "model", "seeds", "mIoU ↑", "*paper*", "absolute error [m] ↓", "*paper*", "paper's angle [rad] ↓", "*paper*",
        "mean angle [°] ↓",
    ]  # fmt: skip
    st = next(line for line in lines if line[0] == "ST")
    assert st == [
        "ST", "3", "0.102 ± 0.002", "*0.162*", "1.010 ± 0.010", "*1.004*", "0.262 ± 0.000", "*0.337*", "30.00 ± 0.00"
    ]  # fmt: skip
    control = next(line for line in lines if line[0] == "control")
    assert [control[number] for number in (3, 5, 7)] == ["", "", ""]


def test_the_papers_layout_has_models_across(place) -> None:
    plan = plan_of("table2", seeds=1)
    pretend_all(plan.cells, place.trial, lambda cell: three_tasks(0.1, 1.0, 30.0))
    first, second = markdown(make_table(plan, place.trial, "rooms")).split("\n\n")
    header = [cell.strip() for cell in first.splitlines()[0].strip("|").split("|")]
    assert header[1:6] == ["100 % ST", "100 % MT", "100 % MGM/G", "100 % control", "100 % MGM"]
    assert "25 % MGM_r" in header
    assert "100 % MGM_r" not in header
    assert len(first.splitlines()) == 2 + 4
    assert second.startswith("| setting")


def test_a_metric_of_the_paper_that_we_do_not_show_stands_apart(place) -> None:
    plan = plan_of("table5", offered=(*MAIN, "reshading"))
    pretend_all(plan.cells, place.trial, lambda cell: scores_of(cell) | {"reshading": {"l1": 0.2}})
    table = make_table(plan, place.trial, "rooms")
    header = [cell.strip() for cell in markdown(table).splitlines()[0].strip("|").split("|")]
    assert header[-2:] == ["*paper: semantic, mean loss*", "*paper: normal, mean loss*"]
    by_model = {line.row.title: line for line in table.lines}
    assert by_model["MGM"].values["reshading.l1"].paper == 0.699
    assert by_model["MGM"].values["semantic.miou"].paper is None


def test_on_taskonomy_the_mean_losses_count() -> None:
    assert [column.key for column in columns_for({task: TASKS[task] for task in (*MAIN, "reshading")}, "taskonomy")] == [
        "semantic.cross_entropy", "depth.abs_error_m", "normal.l1_coded", "reshading.l1",
    ]  # fmt: skip


def test_missing_runs_leave_gaps_that_are_named(place) -> None:
    plan = plan_of()
    pretend_all(plan.cells, place.trial, lambda c: None if (c.row.title, c.seed) == ("MT", 1) else scores_of(c))
    table = make_table(plan, place.trial, "rooms")
    mt = next(line for line in table.lines if line.row.title == "MT")
    assert mt.count == 2
    assert math.isnan(mt.values["semantic.miou"].values[1])
    described = as_json(table)
    assert any("Incomplete" in note for note in described["notes"])
    against = next(c for c in described["comparisons"] if c["reference"] == "MT")
    assert against["tasks"]["depth"]["count"] == 2


def test_nothing_finished_yet(place) -> None:
    table = make_table(plan_of(), place.trial, "rooms")
    assert "–" in markdown(table)
    assert as_json(table)["comparisons"] == []


def test_csv_has_a_line_per_cell(place) -> None:
    plan = plan_of()
    pretend_all(plan.cells, place.trial, scores_of)
    rows = list(csv.DictReader(io.StringIO(as_csv(make_table(plan, place.trial, "rooms")))))
    assert len(rows) == 5 * 4
    row = next(r for r in rows if (r["model"], r["metric"]) == ("MGM", "miou"))
    assert [float(value) for value in row["values"].split()] == pytest.approx([0.14, 0.142, 0.144])
    assert (float(row["mean"]), float(row["std"]), row["seeds"]) == (pytest.approx(0.142), pytest.approx(0.002), "3")
    assert row["paper"] == "0.197"


def test_rows_of_pre_trained_encoders_are_marked(place) -> None:
    plan = plan_of()
    pretend_all(plan.cells, place.trial, scores_of)
    for cell in plan.cells:
        if cell.row.title == "MT":
            place.trial(cell.trial).config.write_text("recipe: mt\nmodel:\n  encoder: lite0\n")
    table = make_table(plan, place.trial, "rooms")
    described = as_json(table)
    assert {row["model"]: row["pretrained"] for row in described["rows"]} == {
        title: "ImageNet (lite0)" if title == "MT" else "" for title in MODELS
    }
    assert any("not comparable with runs from scratch" in note for note in described["notes"])
    assert "| MT † " in markdown(table)
    assert markdown(table).count("†") == 1
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert {row["model"] for row in rows if row["pretrained"]} == {"MT"}
    shown = table_section(TypeAdapter(ResultTable).validate_python(json.loads(json.dumps(plain(described)))))
    assert "MT †" in [title for _, group in shown.groups for _, title, _ in group]


def test_sentences_say_who_wins_and_the_generators_own_share(place) -> None:
    plan = plan_of(seeds=5)
    pretend_all(plan.cells, place.trial, scores_of)
    described = as_json(make_table(plan, place.trial, "rooms"))
    text = "\n".join(described["sentences"])
    assert "MGM is better than MT on 3 of 3 tasks at p < 0.05" in text
    assert "Exploratory (p-values not corrected): MGM vs. ST" in text
    assert "What the generator adds: MGM is better than MGM/G on 3 of 3 tasks" in text
    assert "Generator vs. more updates on labelled images: MGM is better than control" in text
    against = next(c for c in described["comparisons"] if c["reference"] == "MGM/G")
    assert against["tasks"]["depth"]["mean"] == pytest.approx(0.10)
    assert against["tasks"]["depth"]["sign_flip_p"] == pytest.approx(2 / 2**5)


def test_the_correction_covers_the_primary_questions_of_the_primary_setting(place) -> None:
    plan = plan_of("table2", seeds=3)
    rng = np.random.default_rng(0)
    pretend_all(plan.cells, place.trial, lambda cell: three_tasks(*rng.normal([0.1, 1.0, 30.0], 0.01)))
    described = as_json(make_table(plan, place.trial, "rooms"))
    primary = [c for c in described["comparisons"] if c["primary"]]
    assert [(c["model"], c["reference"]) for c in primary] == [
        ("MGM (25 %)", f"{other} (25 %)") for other in ("MT", "MGM/G", "control")
    ]
    tests = [t for c in primary for t in (*c["tasks"].values(), c["delta_m"])]
    smallest = min(tests, key=lambda t: t["t_p"])
    assert len(tests) == 3 * 4
    assert smallest["p"] == pytest.approx(min(1.0, len(tests) * smallest["t_p"]))
    exploratory = [c for c in described["comparisons"] if not c["primary"]]
    assert len(exploratory) == 3 * 4 + 2 - 3
    assert all(t["p"] == t["t_p"] for c in exploratory for t in c["tasks"].values())


def test_the_papers_own_gain_says_how_many_seeds_it_would_take(place) -> None:
    plan = plan_of(seeds=5)
    rng = np.random.default_rng(0)
    pretend_all(plan.cells, place.trial, lambda cell: three_tasks(*rng.normal([0.1, 1.0, 30.0], 0.01)))
    table = make_table(plan, place.trial, "rooms")
    against = {answer.question.reference: answer for answer in table.answers}
    paper = against["MT"].question.paper
    assert paper["depth"] == pytest.approx((0.930 - 0.911) / 0.930)
    assert paper["semantic"] == pytest.approx((0.197 - 0.185) / 0.185)
    assert against["MT"].tasks["depth"].needed_for_paper is not None
    assert against["control"].question.paper == {}


def sums_of(rng, level: float, count: int = 40) -> dict[str, Any]:
    """Depth alone: an error per image, of one pixel each."""
    return {"depth.absolute": level + 0.1 * rng.random((count, 1)), "depth.count": np.ones((count, 1))}


def test_images_and_seeds_are_resampled_where_runs_keep_sums(place) -> None:
    plan = plan_of(seeds=3)
    rng = np.random.default_rng(0)
    pretend_all(plan.cells, place.trial, scores_of)
    for cell in plan.cells:
        np.savez(
            place.trial(cell.trial).test_images,
            images=np.arange(40),
            **sums_of(rng, 1 - 0.05 * MODELS.index(cell.row.title)),
        )
    table = make_table(plan, place.trial, "rooms")
    (answer,) = [a for a in table.answers if a.question.reference == "MT"]
    found = answer.tasks["depth"].bootstrap
    assert 0.1 < found.low < 0.15 < found.high < 0.2
    assert answer.tasks["semantic"].bootstrap is None
    assert "p (bootstrap)" in comparisons_markdown(table)


def test_joint_training_that_never_beat_what_came_before_is_named(place) -> None:
    plan = plan_of(seeds=2)
    pretend_all(plan.cells, place.trial, scores_of)
    cell = next(cell for cell in plan.cells if cell.row.title == "MGM")
    pretend(place.trial(cell.trial), scores_of(cell), best_stage="joint", earlier={"step": 3})
    (note,) = [note for note in as_json(make_table(plan, place.trial, "rooms"))["notes"] if "joint training" in note]
    assert note.startswith("MGM (10 %): in 1 of 2 runs, joint training did not improve")


def test_how_many_labels_mgm_is_worth(place) -> None:
    plan = plan_of("labels", seeds=2)
    shares = {"10 %": 0, "25 %": 1, "50 %": 2, "100 %": 3}

    def scores(cell):
        better = 0.5 if cell.row.title == "MGM" else 0
        return three_tasks(0.1, 1.0 - 0.1 * (shares[cell.setting] + better), 30.0 - shares[cell.setting])

    pretend_all(plan.cells, place.trial, scores)
    sentences = as_json(make_table(plan, place.trial, "rooms"))["sentences"]
    text = next(line for line in sentences if line.startswith("MGM with 25 %"))
    assert "35 % (1.4 times as many) on depth" in text  # halfway to 50 % on a logarithmic scale
    assert "25 % (1.0 times as many) on normal" in text
    last = next(line for line in sentences if line.startswith("MGM with 100 %"))
    assert "more than 100 % on depth" in last


@pytest.mark.parametrize("name", ["table7", "figure5"])
def test_files_of_a_study(place, name) -> None:
    plan = plan_of(name, seeds=2)
    rng = np.random.default_rng(0)
    pretend_all(plan.cells, place.trial, lambda cell: three_tasks(*rng.normal([0.1, 1.0, 30.0], 0.01)))
    write_study(plan, place, "rooms", preset="tiny", errors={}, command="mgm experiment x", seconds=1.0)
    folder = place.study(name)
    assert {path.name for path in folder.iterdir()} == {"table.md", "table.csv", "table.json", "experiment.json"}
    about = json.loads((folder / "experiment.json").read_text())
    assert {trial["state"] for trial in about["trials"]} == {"finished"}
    assert (folder / about["trials"][0]["folder"]).resolve().is_dir()
    assert about["commits"] == ["abc1234"]
    page = (folder / "table.md").read_text()
    assert "    mgm experiment x\n" in page
    assert "## Primary questions" in page
    assert "## Exploratory comparisons (p-values not corrected)" in page
    assert "each with its own split" in page


def test_failed_trials_are_named_in_the_description(place) -> None:
    plan = plan_of(seeds=1)
    pretend_all(plan.cells, place.trial, lambda cell: None if cell.row.title == "MT" else scores_of(cell))
    failed = next(cell.trial.name for cell in plan.cells if cell.row.title == "MT")
    write_study(plan, place, "rooms", preset="tiny", errors={failed: "out of memory"}, command="x", seconds=0)
    about = json.loads((place.study("table7") / "experiment.json").read_text())
    states = {trial["model"]: (trial["state"], trial["error"]) for trial in about["trials"]}
    assert states["MT"] == ("failed", "out of memory")
    assert states["ST"] == ("finished", None)


def test_numbers_come_from_the_files_of_the_runs(place) -> None:
    plan = plan_of(seeds=1)
    pretend_all(plan.cells, place.trial, scores_of)
    before = as_json(make_table(plan, place.trial, "rooms"))
    trial = place.trial(plan.cells[0].trial)
    pretend(trial, three_tasks(0.9, 0.1, 5.0))
    after = as_json(make_table(plan, place.trial, "rooms"))
    assert before["rows"][0]["values"]["semantic.miou"]["mean"] == pytest.approx(0.1)
    assert after["rows"][0]["values"]["semantic.miou"]["mean"] == pytest.approx(0.9)
    assert before["rows"][1:] == after["rows"][1:]


def test_a_null_in_a_result_is_an_unknown_value(place) -> None:
    plan = plan_of(seeds=1)
    pretend_all(plan.cells, place.trial, scores_of)
    pretend(place.trial(plan.cells[0].trial), {"semantic": {"miou": math.nan}})
    line = make_table(plan, place.trial, "rooms").lines[0]
    assert math.isnan(line.values["semantic.miou"].values[0])
    assert line.count == 0


def test_the_constant_predictor_is_a_row_of_every_setting_and_takes_part_in_no_test(place) -> None:
    plan = plan_of("table2", seeds=2)
    for cell in plan.cells:
        constant = three_tasks(0.01, 2.0 + cell.seed, 60.0)
        pretend(place.trial(cell.trial), scores_of_any(cell), constant=constant)
    table = make_table(plan, place.trial, "rooms")
    first = next(line for line in table.lines if line.setting == plan.settings[0])
    assert first.title == "constant prediction"
    assert first.values["depth.abs_error_m"].values == (2.0, 3.0)
    assert [line.setting for line in table.lines if line.title == first.title] == list(plan.settings)
    assert first not in table.models
    assert "| constant prediction |" in markdown(table)
    assert "constant" not in json.dumps(as_json(table)["comparisons"])


def test_the_constant_predictor_has_the_labels_of_the_setting(place) -> None:
    plan = plan_of("twice", seeds=2)
    for cell in plan.cells:
        constant = three_tasks(0.01, cell.trial.experiment.data.fraction, 60.0)
        pretend(place.trial(cell.trial), scores_of_any(cell), constant=constant)
    line = make_table(plan, place.trial, "rooms").lines[0]
    assert (line.row, line.values["depth.abs_error_m"].values) == (CONSTANT, (0.25, 0.25))


def scores_of_any(cell):
    return three_tasks(0.1 + 0.002 * cell.seed, 1.0 + 0.01 * cell.seed, 30.0)
