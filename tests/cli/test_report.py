"""``mgm report`` through the entry point: pages of runs and experiments, whole and in part."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mgm.cli.main import main
from mgm.errors import RunError
from mgm.experiments.study_records import PREREQUISITE, ExperimentFolder
from mgm.inference.model import TrainedModel
from mgm.report.comparison import compare
from mgm.report.figures.paper import draw_generation, stem
from mgm.report.generation import annotation_table
from mgm.report.html.experiment import shown_trials
from mgm.report.html.rendering import attempt
from mgm.runs.folder import RunFolder
from pages import Page, read_page

TINY = ["--preset", "tiny", "--batch-size", "4", "--generator-batch-size", "4"]
LARGEST_PAGE = 4_000_000


@pytest.fixture(scope="module")
def runs(photographs, finished, nothing_drawn, tmp_path_factory) -> Path:
    """A folder with runs of MGM (with its baseline) and ST on the same data."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(finished, folder / "mgm")
    with nothing_drawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["mgm", "train", "st", *TINY, "--data", str(photographs), "--out", str(folder / "st")]
        )
        main()
    return folder


@pytest.fixture
def run(runs, tmp_path) -> Path:
    """A copy of the MGM run, to be damaged."""
    return Path(shutil.copytree(runs / "mgm", tmp_path / "mgm"))


@pytest.fixture
def record(runs, tmp_path) -> Path:
    """A copy of the MGM run and its baseline as far as tables need it: without weights and metrics logs, so quick to show."""
    ignored = shutil.ignore_patterns("checkpoints", "pictures", "metrics.jsonl")
    return Path(shutil.copytree(runs / "mgm", tmp_path / "record", ignore=ignored))


def trial(name: str, model: str, recipe: str, folder: Path | str, **changes: object) -> dict[str, object]:
    values = {"name": name, "folder": str(folder), "model": model, "recipe": recipe, "setting": "50 %", "seed": 0}
    return {**values, "state": "finished", "error": None, **changes}


@pytest.fixture
def experiment(runs, tmp_path) -> Path:
    """An experiment as `mgm experiment` leaves it, of which one trial failed and one is still to come."""
    folder = tmp_path / "table2"
    folder.mkdir()
    trials = [
        trial("st-s0", "ST", "st", runs / "st"),
        trial("mgm-s0", "MGM", "mgm", runs / "mgm"),
        trial("mt-s0", "MT", "mt", runs / "mgm" / "baseline"),
        trial("mgm-s1", "MGM", "mgm", "../mgm-s1", seed=1, state="failed", error="the <generator> loss is inf"),
        trial("st-s1", "ST", "st", "../st-s1", seed=1, state="missing"),
    ]
    record = {"name": "table2", "paper": "Table 2", "title": "Does <it> help?", "data": "nyuv2", "preset": "tiny"}
    record |= {"command": "mgm experiment table2 --data 'my photos'", "commit": "abc1234", "seeds": [0, 1]}
    record |= {"settings": ["50 %"], "versions": {"mgm": "9.9", "torch": "2.x"}, "seconds": 75.0, "trials": trials}
    record |= {"something_new": True}
    columns = [
        {"task": "semantic", "metric": "miou", "title": "mIoU", "unit": "", "higher_is_better": True},
        {"task": "normal", "metric": "angle_deg", "title": "mean angle", "unit": "°", "higher_is_better": False},
    ]
    rows = [
        {
            "setting": "50 %",
            "model": model,
            "recipe": recipe,
            "in_paper": recipe != "mgm_control",
            "count": 2,
            "values": {
                "semantic.miou": {"mean": miou, "std": 0.0125, "values": [miou, None], "paper": paper},
                "normal.angle_deg": {"mean": angle, "std": None, "values": [angle], "paper": None},
            },
        }
        for model, recipe, miou, angle, paper in (
            ("ST", "st", 0.125, 31.25, 0.2301),
            ("MGM", "mgm", 0.25, 30.5, 0.251),
            ("Control", "mgm_control", None, 30.75, None),
        )
    ]
    table = {"columns": columns, "rows": rows, "sentences": ["No difference can be shown."], "notes": ["A note."]}
    (folder / "experiment.json").write_text(json.dumps(record))
    (folder / "table.json").write_text(json.dumps(table))
    Image.new("RGB", (30, 20)).save(folder / "figure.png")
    return folder


def page_of(mgm, folder: Path, *options: object) -> Page:
    out = mgm.done("report", folder, *options)
    path = Path(out.strip())
    assert path.stat().st_size < LARGEST_PAGE
    return read_page(path.read_text(encoding="utf-8"))


def test_run(mgm, runs, tmp_path):
    run = runs / "mgm"
    page = page_of(mgm, run, "--out", tmp_path / "new" / "page.html")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["page.html"]
    result = json.loads((run / "result.json").read_text())
    assert "mgm on nyuv2" in page.text
    assert "finished" in page.text
    for scores in (result["test"], result["constant"], result["baseline"]["test"]):
        assert f"{scores['depth']['abs_error_m']:.3f}" in page.text
        assert f"{scores['normal']['angle_deg']:.2f}" in page.text
    assert f"depth {100 * result['gain']['depth']:+z.1f} %" in page.text
    assert "One run of each" in page.text
    for text in (f"{result['num_labelled']} labelled images", result["versions"]["torch"], "Stage 3: joint training"):
        assert text in page.text
    assert result["command"] in page.text
    assert "generator_batch_size: 4" in page.text
    alts = page.alts()
    for model in ("mt", "mgm"):
        assert any(alt.startswith(f"Prediction of {model}, depth") for alt in alts)
        assert any(alt.startswith(f"Errors of {model}, surface normals") for alt in alts)
    assert any(alt.startswith("Truth, semantic segmentation") for alt in alts)
    assert any(alt.startswith("Depth by mgm, generated ") for alt in alts)
    assert "Largest errors" in page.text
    assert "Layouts of generated images differ" in page.text or "The generator has collapsed" in page.text
    confusion = json.loads((run / "confusion.json").read_text())["semantic"]
    largest = max((n, i, j) for i, row in enumerate(confusion["pixels"]) for j, n in enumerate(row) if i != j)
    taken = [confusion["classes"][place] for place in largest[1:]]
    assert f"{taken[0]} is predicted as {taken[1]}" in page.text
    labels = [attributes.get("aria-label") or "" for attributes in page.all("span")]
    for moment in ("before", "after"):
        assert f"4 generated images of bedroom, {moment} joint training" in labels
    # a chart of scores per task, one of losses per stage, two of what the losses do to the encoder
    assert sum(" against " in alt for alt in alts) == 3 + 4 + 2
    assert "Gradients on the encoder" in page.text
    assert f"{result['peak_memory_mb']:.0f}".replace(",", "")[-3:] in page.text
    assert "No " not in re.sub("No (baseline|better)", "", " ".join(page.words)), "a section is missing"


def test_cost_is_what_the_run_recorded(mgm, record):
    result = json.loads((record / "result.json").read_text())
    assert result["updates"]["task"] == result["steps"]
    assert {"encoder", "decoders", "refinement", "generator", "discriminator"} <= result["parameters"].keys()
    assert result["peak_memory_mb"] > 50
    result |= {"seconds": 3725.0, "peak_memory_mb": 12345.6, "updates": {"task": 7000, "refinement": 123}}
    result["parameters"] = {"encoder": 1_000_000, "decoders": 234_567, "generator": 3}
    (record / "result.json").write_text(json.dumps(result))
    text = page_of(mgm, record).text.replace("\N{NARROW NO-BREAK SPACE}", " ")
    for shown in ("1 h 2 min", "7 123", "1 234 570", "1 234 567", "12 346 MiB", "tasks 7 000, refinement 123"):
        assert shown in text


def test_tasks_on_which_nothing_was_learned_are_named(mgm, record):
    result = json.loads((record / "result.json").read_text())
    for values, depth, angle in ((result["test"], 0.5, 40.0), (result["constant"], 0.9, 40.0)):
        values["semantic"]["miou"] = 0.3 if values is result["test"] else 0.2
        values["depth"]["abs_error_m"], values["normal"]["angle_deg"] = depth, angle
    (record / "result.json").write_text(json.dumps(result))
    assert "Not better than a constant prediction: surface normals." in page_of(mgm, record).text


def test_run_of_an_older_version_records_no_cost(mgm, record):
    for folder in (record, record / "baseline"):
        result = json.loads((folder / "result.json").read_text())
        for key in ("updates", "parameters", "peak_memory_mb", "versions", "command", "device"):
            del result[key]
        (folder / "result.json").write_text(json.dumps(result))
    assert "Not recorded" in page_of(mgm, record).text


def test_single_model_without_generator(mgm, runs, tmp_path):
    page = page_of(mgm, runs / "st", "--out", tmp_path / "st.html")
    assert "No baseline was trained" in page.text
    assert "Generated images" not in page.text
    assert any(alt.startswith("Prediction of st, depth") for alt in page.alts())


@pytest.mark.usefixtures("without_pictures")
def test_half_finished_run(mgm, interrupted, photographs, tmp_path):
    run = tmp_path / "half"
    with interrupted(lambda trainer, stage, index: stage.name == "joint" and index == 1):
        assert mgm("train", "mgm", *TINY, "--data", photographs, "--no-baseline", "--out", run)[0] == 130
    page = read_page_of(run)
    assert "not finished: stage 3: joint training, step 1" in page.text
    assert "the run is not finished, so there are no scores on the test set yet" in page.text
    assert any(alt.startswith("Prediction of mgm, depth") for alt in page.alts())
    labels = [attributes.get("aria-label") or "" for attributes in page.all("span")]
    assert any("before joint training" in label for label in labels)
    assert not any("after joint training" in label for label in labels)
    assert "Stage 2: generator alone" in page.text


def read_page_of(folder: Path) -> Page:
    from mgm.report.html.page import make_page

    return read_page(make_page(folder))


def test_run_that_has_just_begun(run):
    for name in ("result.json", "metrics.jsonl"):
        (run / name).unlink()
    for folder in ("baseline", "checkpoints", "pictures"):
        shutil.rmtree(run / folder)
    page = read_page_of(run)
    assert "not finished: nothing logged yet" in page.text
    for reason in ("nothing has been logged yet", "there are no weights", "holds no generator", "not finished"):
        assert reason in page.text
    assert "All settings" in page.text


def test_data_that_are_gone_cost_one_section(mgm, run, tmp_path):
    for folder in (run, run / "baseline"):
        config = folder / "config.yaml"
        config.write_text(re.sub(r"^  data: .*$", f"  data: {tmp_path}/gone", config.read_text(), flags=re.MULTILINE))
    page = page_of(mgm, run)
    assert "No predictions:" in page.text
    assert f"{tmp_path}/gone" in page.text
    assert "mIoU" in page.text
    assert any(alt.startswith("Depth by mgm") for alt in page.alts())


def test_weights_that_are_gone_or_damaged(mgm, run):
    (run / "baseline/checkpoints/best.pt").unlink()
    page = page_of(mgm, run)
    assert any(alt.startswith("Prediction of mgm") for alt in page.alts())
    assert not any(alt.startswith("Prediction of mt") for alt in page.alts())
    (run / "checkpoints/best.pt").write_bytes(b"no checkpoint")
    assert "No predictions:" in page_of(mgm, run).text


def test_annotator_of_the_run(monkeypatch, runs):
    read = RunFolder.experiment

    def annotated_by(run):
        def experiment(folder):
            settings = read(folder)
            return replace(settings, method=replace(settings.method, annotator=str(run)))

        monkeypatch.setattr(RunFolder, "experiment", experiment)

    annotated_by(runs / "st")
    table = annotation_table(RunFolder(runs / "mgm"))
    assert [image.text for image in table.images] == [image.alt.removeprefix("Generated ") for image in table.images]
    depth = next(task for task in table.tasks if task.title == "Depth")
    assert depth.groups == [("mgm", ("",)), ("annotator", ("",))]
    (ours,), (theirs,) = depth.rows[0]
    assert (ours.alt, theirs.alt) == tuple(f"Depth by {by}, generated {table.images[0].text}" for by, _ in depth.groups)
    assert (ours.pixels != theirs.pixels).any()
    assert {ours.alt, theirs.alt} <= set(read_page_of(runs / "mgm").alts())
    predict = TrainedModel.predict_batch

    def without_depth(model, images):
        found = predict(model, images)
        return {"semantic": found["semantic"]} if model.experiment.recipe == "st" else found

    with monkeypatch.context() as patch:
        patch.setattr(TrainedModel, "predict_batch", without_depth)
        groups = {task.title: task.groups for task in annotation_table(RunFolder(runs / "mgm")).tasks}
    assert groups["Depth"] == [("mgm", ("",))]
    assert groups["Semantic segmentation"] == depth.groups
    annotated_by(runs / "nowhere")
    with pytest.raises(RunError, match="nowhere"):
        annotation_table(RunFolder(runs / "mgm"))


def test_what_files_say_is_escaped(mgm, record):
    result = json.loads((record / "result.json").read_text())
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    result |= {"data": hostile, "command": hostile, "commit": hostile, "device": hostile, "recipe": hostile}
    result["baseline"]["recipe"] = '"><b>'
    (record / "result.json").write_text(json.dumps(result))
    config = record / "config.yaml"
    config.write_text(config.read_text().replace("recipe: mgm", f"recipe: '{hostile}'"))
    page = page_of(mgm, record)
    assert page.text.count("<script>alert(1)") >= 4


def test_result_that_lacks_something_costs_one_section(mgm, record):
    result = json.loads((record / "result.json").read_text())
    del result["constant"]
    (record / "result.json").write_text(json.dumps(result))
    page = page_of(mgm, record)
    assert "result.json lacks 'constant'" in page.text
    assert "All settings" in page.text


def test_parts_of_a_plugin_that_is_not_loaded_cost_their_sections(mgm, record):
    config = record / "config.yaml"
    config.write_text(re.sub(r"^  extra_images: .*$", "  extra_images: mine", config.read_text(), flags=re.MULTILINE))
    confusion = json.loads((record / "confusion.json").read_text())
    (record / "confusion.json").write_text(json.dumps({"mine": confusion["semantic"]}))
    text = page_of(mgm, record).text
    assert "unknown extra images 'mine'" in text
    assert "unknown task 'mine'" in text
    assert "One run of each" in text


def test_damaged_metrics_log_of_an_unfinished_run_costs_its_sections(mgm, record):
    (record / "result.json").unlink()
    (record / "metrics.jsonl").write_text("nothing\n{}\n")
    assert page_of(mgm, record).text.count("metrics.jsonl, line 1: no record") == 2


@pytest.mark.parametrize(("steps", "text"), [(6, "at 6 steps each"), (9, "at 6 and 9 steps on the labelled images")])
def test_steps_of_run_and_baseline(mgm, record, steps, text):
    result = json.loads((record / "result.json").read_text())
    result["steps"], result["baseline"]["steps"] = 6, steps
    (record / "result.json").write_text(json.dumps(result))
    assert f"mgm vs. mt {text}: " in page_of(mgm, record).text


def test_prerequisites_are_no_models(mgm, experiment, monkeypatch):
    """As in Table 6, with seven networks for TaskGrouping."""
    record = json.loads((experiment / "experiment.json").read_text())
    mt = record["trials"][2]
    record["trials"] += [dict(mt, model=PREREQUISITE, setting="", name=f"candidate-{number}") for number in range(7)]
    record["trials"] += [dict(mt, seed=1, model=f"MT {number}") for number in range(4)]
    (experiment / "experiment.json").write_text(json.dumps(record))
    shown = shown_trials(ExperimentFolder(experiment).record().in_table)
    assert [trial.model for trial in shown] == ["ST", "MT", "MGM"]

    def left_out(*_):
        raise RunError("left out")

    monkeypatch.setattr("mgm.report.html.experiment._predictions", left_out)
    monkeypatch.setattr("mgm.report.html.experiment.stages_with_generator", lambda folder: ())
    text = page_of(mgm, experiment).text
    assert text.count(PREREQUISITE) == 7, "only in the list of trials"


def test_experiment(mgm, experiment):
    page = page_of(mgm, experiment)
    for text in (
        "Table 2: Does <it> help?",
        "No difference can be shown.",
        "A note.",
        "3 finished",
        "1 failed",
        "1 missing",
        "mgm-s1",
        "the <generator> loss is inf",
        "mgm experiment table2 --data 'my photos'",
        "abc1234",
        "torch 2.x",
        "1 min 15 s",
        "not in the paper",
        "0.250 ± 0.013",
        "0.230",
        "30.50",
        "Setting 50 % , seed 0",
    ):
        assert text in page.text.replace("50 %, seed", "50 % , seed"), text
    alts = page.alts()
    first = [alt.split(",")[0] for alt in alts if ", depth, test image 1" in alt and alt.startswith("Prediction")]
    assert first == ["Prediction of ST", "Prediction of MT", "Prediction of MGM"], "not in the paper's order"
    assert any(alt.startswith("Depth by mgm, generated ") for alt in alts)
    assert any(alt.startswith("Figure of this experiment") for alt in alts)
    headers = [attributes.get("class") or "" for attributes in page.all("th")]
    assert sum("reference" in header for header in headers) == 1  # the paper has no angle in degrees
    cells = [attributes for attributes in page.all("td") if "reference" in (attributes.get("class") or "")]
    assert len(cells) == 3
    assert sum(" against " in alt for alt in alts) == 3


def test_experiment_without_its_optional_files(mgm, experiment):
    record = json.loads((experiment / "experiment.json").read_text())
    needed = {key: record[key] for key in ("name", "title")}
    trials = [dict(record["trials"][3], error=None), dict(record["trials"][4])]
    (experiment / "experiment.json").write_text(json.dumps({**needed, "trials": trials}))
    (experiment / "table.json").unlink()
    (experiment / "figure.png").unlink()
    page = page_of(mgm, experiment)
    assert "table.json does not exist" in page.text
    for reason in ("no trial is finished", "no trial has logged"):
        assert reason in page.text
    assert "Figure" not in page.text
    assert "Generated images" not in page.text


@pytest.mark.parametrize(
    "change, message",
    [
        ({"title": None}, "title"),
        ({"trials": [{"name": "a"}]}, "trials.0.folder"),
        ({"trials": [trial("a", "A", "a", "x", state="dead")]}, "trials.0.state"),
        ({"seeds": "all"}, "seeds"),
    ],
)
def test_experiment_that_lacks_what_it_must_have(mgm, experiment, change, message):
    record = json.loads((experiment / "experiment.json").read_text()) | change
    (experiment / "experiment.json").write_text(json.dumps(record))
    assert f"experiment.json is damaged ({message}:" in mgm.refused("report", experiment)
    assert not (experiment / "report.html").exists()


def test_damaged_table_costs_one_section(mgm, experiment):
    record = json.loads((experiment / "experiment.json").read_text())
    (experiment / "experiment.json").write_text(json.dumps({**record, "trials": record["trials"][3:]}))
    (experiment / "table.json").write_text('{"columns": [], "rows": [{"model": 3}]}')
    (experiment / "figure.png").write_bytes(b"no picture")
    text = page_of(mgm, experiment).text
    assert "rows.0.model" in text
    assert "No figure:" in text
    assert "1 failed" in text


def test_trials_on_other_splits_are_not_compared(experiment, runs, tmp_path):
    other = Path(shutil.copytree(runs / "st", tmp_path / "other"))
    images = json.loads((other / "images.json").read_text())
    images["test"] = images["validation"]
    (other / "images.json").write_text(json.dumps(images))
    record = json.loads((experiment / "experiment.json").read_text())
    record["trials"][0]["folder"] = "../other"
    (experiment / "experiment.json").write_text(json.dumps(record))
    shown = shown_trials(ExperimentFolder(experiment).record().trials)
    text = str(attempt(lambda: compare({trial.model: ExperimentFolder(experiment).run(trial) for trial in shown})))
    assert "have no test image in common" in text


@pytest.mark.parametrize(
    "options, message",
    [
        (["--out", "page.pdf"], "give a file name that ends in .html"),
        (["--out", "page"], "give a file name that ends in .html"),
        (["--out", "/proc/page.html"], "cannot write"),
        (["--out", "/proc/mgm/page.html"], "cannot create"),
    ],
)
def test_places_that_cannot_be_written(mgm, run, monkeypatch, options, message):
    monkeypatch.setattr("mgm.report.html.page.make_page", lambda folder: "<p>page</p>")
    before = sorted(run.rglob("*"))
    assert message in mgm.refused("report", run, *options)
    assert sorted(run.rglob("*")) == before


def test_folder_in_place_of_the_page(mgm, run):
    (run / "folder.html").mkdir()
    assert "which is a folder" in mgm.refused("report", run, "--out", run / "folder.html")


def test_folder_that_holds_neither(mgm, tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert "neither a run (config.yaml) nor an experiment (experiment.json)" in mgm.refused("report", folder)
    assert not list(tmp_path.iterdir())
    (tmp_path / "table2").mkdir()
    (tmp_path / "table2/experiment.json").write_text("{}")
    assert f"did you mean {tmp_path}/table2?" in mgm.refused("report", tmp_path)


def test_error_in_the_middle_keeps_the_old_page(mgm, run, monkeypatch):
    (run / "report.html").write_text("old")
    (run / "config.yaml").write_text("recipe: [")
    assert mgm("report", run)[0] == 2
    assert (run / "report.html").read_text() == "old"
    assert not list(run.glob(".*tmp"))


def test_figures_as_the_document_draws_them(runs, tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs/report.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(runs / "mgm")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/report.md", "exec"), {})
    written = sorted(path for path in tmp_path.iterdir() if path.is_file())
    assert [path.name for path in written] == [
        f"{name}.{kind}" for name in ("figure4", "figure7", "figure7_pairs") for kind in ("pdf", "png")
    ]
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert min(picture.size) > 300
        else:
            content = path.read_bytes()
            assert content.startswith(b"%PDF")
            assert b"/Subtype /Image" in content


def test_a_suffix_is_no_part_of_the_name():
    assert stem(Path("a/figure.png")) == stem(Path("a/figure.PDF")) == stem(Path("a/figure")) == Path("a/figure")
    assert stem(Path("a/table.2")) == Path("a/table.2")


def test_generation_needs_a_generator(runs, tmp_path):
    with pytest.raises(RunError, match="holds no generator"):
        draw_generation(RunFolder(runs / "st"), tmp_path / "new" / "figure")
    assert not list(tmp_path.iterdir())
