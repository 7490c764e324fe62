"""Runs in a list and side by side, whatever state their folders are in."""

import csv
import io
import json
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mgm.cli.main import main
from mgm.experiments.bootstrap import read_sums
from mgm.runs.folder import RunFolder
from mgm.runs.listing import find_runs, summarise
from mgm.runs.provenance import write_history
from mgm.runs.train import train
from mgm.tasks import TASKS
from mgm.training.checkpoint import load_checkpoint
from mgm.training.trainer import Trainer

TINY = ["--preset", "tiny", "--batch-size", "4", "--generator-batch-size", "4"]


@pytest.fixture(scope="module")
def root(photographs, nothing_drawn, tmp_path_factory) -> Path:
    """Two seeds of a recipe, the first one with its pictures, and two of the same with another setting."""
    root = tmp_path_factory.mktemp("runs")
    for name, options in {"plain": [], "decayed": ["--weight-decay", "0.1"]}.items():
        for seed in (0, 1):
            own = ["--data", str(photographs), "--seed", str(seed), "--out", str(root / f"{name}-s{seed}"), *options]
            with (
                nullcontext() if (name, seed) == ("plain", 0) else nothing_drawn(),
                pytest.MonkeyPatch.context() as patch,
            ):
                patch.setattr(sys, "argv", ["mgm", "train", "mt", *TINY, *own])
                main()
    return root


@pytest.fixture
def copy(root, tmp_path):
    """A folder with one finished run that may be spoiled."""
    shutil.copytree(root / "plain-s0", tmp_path / "runs/one")
    return tmp_path / "runs"


def unfinished(run: Path, records: int = 3) -> Path:
    (run / "result.json").unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:records]))
    return run


def listed(mgm, folder) -> list[dict]:
    return json.loads(mgm.done("runs", folder, "--json"))


def test_finished_runs(mgm, root):
    found = listed(mgm, root)
    assert [Path(run["path"]).name for run in found] == ["decayed-s0", "decayed-s1", "plain-s0", "plain-s1"]
    result = json.loads((root / "plain-s1/result.json").read_text())
    run = found[3]
    assert run["state"] == "finished"
    assert (run["recipe"], run["data"], run["seed"]) == ("mt", "nyuv2", 1)
    assert run["labelled"] == result["num_labelled"]
    assert run["steps"] == run["total_steps"] == 6
    assert run["scores"]["depth"] == result["test"]["depth"]["abs_error_m"]
    assert run["seconds"] == result["seconds"]


def test_table_and_csv(mgm, root):
    out = mgm.done("runs", root)
    assert "plain-s0" in out
    assert "finished" in out
    rows = list(csv.DictReader(io.StringIO(mgm.done("runs", root, "--csv"))))
    assert len(rows) == 4
    assert float(rows[0]["score/normal"]) > 0
    assert mgm("runs", root, "--csv", "--json")[0] == 2


def test_names_are_in_one_piece_where_the_table_has_no_terminal(mgm, copy, monkeypatch):
    long = "a-folder-with-a-name-of-some-sixty-letters-as-trials-have-them"
    (copy / "one").rename(copy / long)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert long in mgm.done("runs", copy)
    monkeypatch.setenv("COLUMNS", "80")
    assert long not in mgm.done("runs", copy)


def test_stopped_and_begun(mgm, copy):
    unfinished(copy / "one")
    (run,) = listed(mgm, copy)
    assert run["state"] == "stopped"
    assert (run["steps"], run["total_steps"]) == (3, 6)
    assert "step 3 of 6 (multi_task 3)" in run["detail"]
    (copy / "one/metrics.jsonl").unlink()
    (run,) = listed(mgm, copy)
    assert run["state"] == "stopped"
    assert "not begun" in run["detail"]
    assert "step 0 of 6" in mgm("runs", copy)[1]


def test_running(mgm, copy):
    unfinished(copy / "one")
    lock = RunFolder(copy / "one").lock()
    try:
        assert listed(mgm, copy)[0]["state"] == "running"
    finally:
        lock.release()
    assert listed(mgm, copy)[0]["state"] == "stopped"


@pytest.mark.parametrize("error, state", [("TrainingDivergedError", "diverged"), ("OutOfMemoryError", "failed")])
def test_failed(mgm, copy, error, state):
    unfinished(copy / "one")
    (copy / "one/failure.json").write_text(json.dumps({"error": error, "reason": "what happened\nand more"}))
    (run,) = listed(mgm, copy)
    assert run["state"] == state
    assert run["detail"].endswith("what happened")


@pytest.mark.usefixtures("without_pictures")
def test_training_that_fails_leaves_its_reason(mgm, photographs, tmp_path, monkeypatch):
    step = Trainer.train_step

    def failing(self, stage, index):
        if self.steps_done == 4:
            raise RuntimeError("out of memory")
        return step(self, stage, index)

    monkeypatch.setattr(Trainer, "train_step", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        mgm("train", "mt", *TINY, "--data", photographs, "--out", tmp_path / "one")
    (run,) = listed(mgm, tmp_path)
    assert (run["state"], run["steps"]) == ("failed", 3)  # what was logged
    assert "out of memory" in run["detail"]
    monkeypatch.setattr(Trainer, "train_step", step)
    assert mgm("train", "--resume", tmp_path / "one")[0] == 0
    assert listed(mgm, tmp_path)[0]["state"] == "finished"
    assert not (tmp_path / "one/failure.json").exists()


DAMAGE = {
    "settings": ("config.yaml", "seed: ["),
    "settings of another program": ("config.yaml", "learning_rate: 3"),
    "data set": ("dataset.json", "{}"),
    "result": ("result.json", '{"test": {"depth": 3}}'),
    "binary": ("result.json", b"\xff\xfe\x00"),
    "empty": ("config.yaml", ""),
}
"""More of each: test_folder.py, test_results.py."""


@pytest.mark.parametrize("file, content", DAMAGE.values(), ids=DAMAGE)
def test_damaged_folders_are_listed_as_such(mgm, root, copy, file, content):
    (copy / "one" / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    shutil.copytree(root / "plain-s1", copy / "two")
    found = listed(mgm, copy)
    assert [run["state"] for run in found] == ["damaged", "finished"]
    assert found[0]["detail"]
    assert "damaged" in mgm.done("runs", copy)


@pytest.mark.parametrize("line", ["no json\n{}", '{"stage": "lunch", "step": 3}', "[1]", '{"step": "x"}'])
def test_damaged_metrics_log(mgm, copy, line):
    unfinished(copy / "one")
    (copy / "one/metrics.jsonl").write_text(line + "\n")
    assert listed(mgm, copy)[0]["state"] == "damaged"


def test_what_is_no_run_is_passed_over(mgm, tmp_path):
    (tmp_path / "config.yaml").write_text("other: 3")
    assert listed(mgm, tmp_path) == []
    assert "no runs in" in mgm("runs", tmp_path)[1]
    assert "is no folder" in mgm.refused("runs", tmp_path / "nothing")


def test_folders_that_are_links_are_searched(tmp_path):
    (tmp_path / "disk/one/checkpoints").mkdir(parents=True)
    (tmp_path / "disk/one/config.yaml").write_text("")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/here").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "runs/loop").symlink_to(tmp_path, target_is_directory=True)
    assert list(find_runs(tmp_path / "runs")) == [tmp_path / "runs/here/one"]


def test_baselines_inside_runs_are_not_listed(root, copy):
    shutil.copytree(root / "plain-s1", copy / "one/baseline")
    assert [path.name for path in find_runs(copy)] == ["one"]
    assert summarise(copy / "one/baseline").state == "finished"


def test_history_is_the_metrics_log_as_a_table(root, tmp_path):
    folder = RunFolder(root / "plain-s0")
    rows = list(csv.DictReader(io.StringIO(folder.history.read_text())))
    records = [json.loads(line) for line in folder.metrics_log.read_text().splitlines()]
    assert len(rows) == len(records)
    assert rows[0]["stage"] == "multi_task"
    assert float(rows[0]["loss/task"]) == records[0]["losses"]["task"]
    number = next(number for number, record in enumerate(records) if "validation" in record)
    stored = records[number]["validation"]["depth"]["rmse_m"]
    assert float(rows[number]["validation/depth/rmse_m"]) == stored
    assert rows[number]["loss/task"] == ""
    write_history(RunFolder(tmp_path))
    assert not (tmp_path / "metrics.csv").exists()


def test_a_run_keeps_the_sums_that_its_test_scores_are_made_of(root):
    result = json.loads((root / "plain-s0/result.json").read_text())
    assert result["best_stage"] == "continued"
    assert result["best_steps"] == {"all": result["best_step"]}
    sums = read_sums(RunFolder(root / "plain-s0"))
    for name in ("semantic", "depth", "normal"):
        own = {key.partition(".")[2]: values.sum(0) for key, values in sums.items() if key.startswith(name)}
        kind = TASKS[name](("any",))
        assert all(len(values) == len(sums["images"]) for values in sums.values())
        assert type(kind.metrics()).from_sums(own)[kind.primary] == pytest.approx(
            result["test"][name][kind.primary], rel=1e-5
        )


def test_watching_changes_nothing(root, tmp_path):
    """Sheet and TensorBoard on or off: weights and metrics log are the same, bit for bit."""
    pytest.importorskip("tensorboard")
    experiment = RunFolder(root / "plain-s0").experiment()
    experiment = replace(experiment, training=replace(experiment.training, log=("tensorboard",)))
    train(experiment, tmp_path / "run", watch=None)
    own, watched = RunFolder(tmp_path / "run"), RunFolder(root / "plain-s0")
    assert (watched.pictures / "training.png").exists()
    assert not (own.pictures / "training.png").exists()
    assert list((own.path / "tensorboard").iterdir())
    assert own.metrics_log.read_text() == watched.metrics_log.read_text()
    left, right = (load_checkpoint(run.checkpoints / "best.pt")["model"] for run in (own, watched))
    assert all(torch.equal(value, right[key]) for key, value in left.items())


def test_compare_two_runs(mgm, root, tmp_path):
    runs = (root / "plain-s0", root / "decayed-s0")
    code, out, err = mgm("compare", *runs, "--out", tmp_path / "compared.png")
    assert code == 0
    assert err == ""
    assert "weight_decay" in out
    assert "not tested: there is one seed only, or the runs cannot be paired" in out
    with Image.open(tmp_path / "compared.png") as image:
        assert np.asarray(image).shape[1] > 200


def test_compare_several_seeds(mgm, root):
    runs = [root / f"{name}-s{seed}" for name in ("plain", "decayed") for seed in (0, 1)]
    out = mgm.done("compare", *runs)
    assert "±" in out
    assert "paired t-tests over 2 seeds" in out
    values = json.loads(mgm.done("compare", *runs, "--json"))
    assert [len(paths) for paths in values["runs"].values()] == [2, 2]
    results = [json.loads((run / "result.json").read_text())["test"]["depth"]["rmse_m"] for run in runs]
    means = [values["test"][title]["depth"]["rmse_m"] for title in values["test"]]
    assert means == pytest.approx([sum(results[:2]) / 2, sum(results[2:]) / 2])
    assert "nan" not in mgm.done("compare", *runs[:3]), "one of the groups has one seed"


def test_compare_what_cannot_be_compared(mgm, root, copy):
    config = copy / "one/config.yaml"
    config.write_text(
        config.read_text().replace("image_size: 32", "image_size: 64").replace("fraction: 1.0", "fraction: 0.5")
    )
    code, out, err = mgm("compare", root / "decayed-s0", copy / "one")
    assert code == 0
    assert "warning: not comparable" in err
    assert "image_size 32 (" in err
    assert "labels differ: fraction" in err
    assert "differences are not tested: the warnings above say why" in out
    assert "p <" not in out
    code, _, err = mgm("compare", root / "decayed-s0", copy / "one", "--out", copy / "a.png")
    assert (code, "no picture" in err) == (2, True)
    assert mgm("compare", root / "decayed-s0", root / "plain-s1")[2].count("no seed in common") == 1


def test_errors_of_compare(mgm, root, copy):
    run = root / "plain-s0"
    unfinished(copy / "one")
    for arguments, message in [
        ([run], "nothing to compare"),
        ([run, run], "same run twice"),
        ([run, root / "nothing"], "no run folder"),
        ([run, copy / "one"], "not finished"),
        ([run, root / "plain-s1", "--out", "a.jpg"], ".png"),
    ]:
        assert message in mgm.refused("compare", *arguments)


def test_a_run_whose_settings_were_edited_is_not_continued(mgm, copy):
    unfinished(copy / "one")
    config = copy / "one/config.yaml"
    config.write_text(config.read_text().replace("steps: 6\n", "steps: 9\n", 1))
    assert "training.steps: 6 -> 9" in mgm.refused("train", "--resume", copy / "one")


def test_a_finished_run_gets_back_the_files_that_a_kill_kept_from_it(mgm, copy):
    kept = (copy / "one/metrics.csv").read_bytes()
    (copy / "one/metrics.csv").unlink()
    shutil.rmtree(copy / "one/pictures")
    assert mgm("train", "--resume", copy / "one")[0] == 0
    assert (copy / "one/metrics.csv").read_bytes() == kept
    assert (copy / "one/pictures/predictions.png").exists()


@pytest.mark.usefixtures("without_pictures")
def test_a_kill_before_the_baseline_costs_no_baseline_and_no_command(mgm, photographs, tmp_path, monkeypatch):
    command = ("train", "mgm_no_generator", *TINY, "--data", photographs, "--out", tmp_path / "run")
    with monkeypatch.context() as killed:
        killed.setattr("mgm.runs.train.baseline_of", lambda _: sys.exit(9))
        assert mgm(*command)[0] == 9
    run = RunFolder(tmp_path / "run")
    assert run.exists
    assert not run.baseline.exists
    out = mgm.done("train", "--resume", run.path)
    assert "mean gain" in out
    for member in (run, run.baseline):
        assert json.loads(member.result.read_text())["command"].startswith("mgm train mgm_no_generator --preset tiny")


def test_an_occupied_folder_is_refused_before_the_data_are_converted(mgm, copy, monkeypatch):
    monkeypatch.setattr("mgm.runs.train.load_data", lambda *of: pytest.fail("loaded"))
    assert "is not empty; continue it with --resume" in mgm.refused("train", "mt", *TINY, "--out", copy / "one")


@pytest.mark.usefixtures("without_pictures")
def test_a_baseline_whose_result_lacks_what_later_versions_add_is_taken_over(mgm, photographs, tmp_path):
    run = RunFolder(tmp_path / "run")
    mgm.done("train", "mgm_no_generator", *TINY, "--data", photographs, "--out", run.path)
    baseline = json.loads(run.baseline.result.read_text())
    del baseline["best_step"]
    run.baseline.result.write_text(json.dumps(baseline))
    run.result.unlink()
    assert "mean gain" in mgm.done("train", "--resume", run.path)


@pytest.mark.parametrize("name", ["checkpoints/best.pt", "dataset.json", "images.json", "begun.json"])
def test_a_finished_run_that_lost_a_file_is_not_to_be_continued(mgm, copy, name):
    (copy / "one" / name).unlink()
    shutil.rmtree(copy / "one/pictures")
    said = mgm.refused("train", "--resume", copy / "one")
    assert said.endswith(f"{name} is missing; restore it, or train again into another folder\n")


def test_data_that_changed_between_the_seeds_of_a_recipe_are_said(mgm, root, copy):
    shutil.copytree(root / "plain-s1", copy / "two")
    assert mgm("compare", copy / "one", copy / "two")[2] == ""
    file = copy / "two/images.json"
    images = json.loads(file.read_text())
    images["checksums"]["depth.npy"] = "other"
    file.write_text(json.dumps(images))
    about = f"not comparable, the data have changed between {copy / 'one'} and {copy / 'two'}"
    code, out, err = mgm("compare", copy / "one", copy / "two")
    assert (code, err) == (0, f"mgm: warning: {about}: labels or splits differ\n")
    assert "the warnings above say why" in out
    images["labelled"] |= dict.fromkeys(list(images["labelled"])[:2], "other pixels")
    file.write_text(json.dumps(images))
    assert f"{about}: 2 images differ" in mgm("compare", copy / "one", copy / "two")[2]
