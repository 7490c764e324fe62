"""`mgm experiment` through its entry point."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fake_trials import pretend, three_tasks
from mgm import api
from mgm.cli.train import parse_train
from mgm.errors import TrainingDivergedError
from mgm.experiments.catalogue import STUDIES
from mgm.experiments.statistics import detectable_difference
from mgm.experiments.tables import CONSTANT
from mgm.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("without_pictures")
TINY = ("--preset", "tiny", "--seeds", "1", "--in-process")
ROOMS = ("--", "--num-images", "120")
SHORT = (*ROOMS, "--steps", "2", "--generator-steps", "1")


def test_list_names_every_experiment(mgm) -> None:
    out = mgm.done("experiment", "list")
    for name, study in STUDIES.items():
        line = next(line for line in out.splitlines() if line.split()[0] == name)
        assert study.paper in line


def test_nothing_means_list(mgm) -> None:
    assert mgm("experiment")[1] == mgm("experiment", "list")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tabel2",), "unknown experiment 'tabel2'. Did you mean 'table2'?"),
        (("table2", "--preset", "tny"), "unknown preset 'tny'. Did you mean 'tiny'?"),
        (("table2", "--seeds", "0"), "--seeds is 0; it must be at least 1"),
        (("table2", "--processes", "0"), "--processes is 0; it must be at least 1"),
        (("table2", "--workers", "-1"), "--workers is -1; it must not be negative"),
        (("table2", "--retries", "-1"), "--retries is -1; it must not be negative"),
        (("table2", "--gpus-per-trial", "-1"), "--gpus-per-trial is -1.0; it must not be negative"),
        (("table2", "--gpus-per-trial", "9"), "--gpus-per-trial is 9, but this machine has 2 GPUs; lower it"),
        (("table2", "--", "--data=photos"), "--data is an option of mgm experiment itself; move it in front of --"),
        (("table2", "--cpus-per-trial", "0"), "--cpus-per-trial is 0.0; it must be positive"),
        (("table2", "--in-process", "--workers", "2"), "--in-process excludes --ray, --workers and --processes"),
        (("table2", "--ray", "--workers", "2"), "--ray and --workers exclude each other"),
        (("table2", "--settings", "30"), "unknown setting '30'. Choices: 100, 25, 50"),
        (("table2", "--", "--fraction", "0.3"), "table2 determines fraction itself; omit it"),
        (("table2", "--", "--seed", "3"), "table2 determines seed itself; use --seeds"),
        (("table2", "--", "--split-seed", "3"), "table2 determines split_seed itself; each seed has its own split"),
        (("table2", "--", "--split", "scene"), "on rooms: unknown split 'scene'. Choices: official, random"),
        (("table10", "--", "--image-size", "32"), "table10 determines image_size itself"),
        (("table2", "--augment", "on", "--", "--no-augment"), "table2 determines augment itself"),
        (("table11", "--", "--tasks", "depth", "normal"), "needs labels for semantic, which rooms does not offer"),
        (("table11", "--", "--tasks=depth"), "needs labels for semantic, normal, which rooms does not offer"),
        (("table2", "--data", "nowhere"), "nowhere"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(mgm, tmp_path, monkeypatch, arguments, message) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    name, *rest = arguments
    assert message in mgm.refused("experiment", name, "--out", tmp_path / "out", *rest)
    assert not (tmp_path / "out").exists()


def test_dry_run_prints_commands_that_can_be_typed(mgm, tmp_path) -> None:
    out = mgm.done("experiment", "table7", *TINY[:4], "--out", tmp_path, "--dry-run", "--", "--steps", "50")
    commands = [shlex.split(line, comments=True) for line in out.splitlines()]
    assert [command[2] for command in commands] == ["st", "mt", "mgm_no_generator", "mgm_control", "mgm"]
    for command in commands:
        assert command[:2] == ["mgm", "train"]
        options = parse_train(command[2:])
        assert options.experiment.training.steps == 50
        assert options.experiment.data.fraction == 0.1
        assert not options.baseline
    assert not list(tmp_path.iterdir())


def test_all_seeds_may_have_a_split_of_ones_choice(mgm, tmp_path) -> None:
    arguments = ("twice", "--preset", "tiny", "--seeds", "2", "--out", tmp_path, "--dry-run")
    own, same = (mgm("experiment", *arguments, *more)[1] for more in ((), ("--same-split", "--", "--split-seed", "3")))
    seeds = [
        [parse_train(shlex.split(line)[2:]).experiment.data.split_seed for line in out.splitlines()]
        for out in (own, same)
    ]
    assert seeds == [[0, 1, 0, 1], [3, 3, 3, 3]]


def test_all_means_the_papers(mgm, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("mgm.cli.experiment.STUDIES", {name: STUDIES[name] for name in ("null", "table7", "table8")})
    out = mgm.done("experiment", "all", "--preset", "tiny", "--seeds", "1", "--out", tmp_path, "--dry-run")
    assert {"mgm", "st_large"} <= {line.split()[2] for line in out.splitlines()}
    assert "--seed 1000" not in out, "the null is not of the paper"


def test_a_plan_says_what_pilot_runs_tell(mgm, tmp_path, monkeypatch) -> None:
    arguments = ("experiment", "twice", "--preset", "tiny", "--out", tmp_path)
    code, out, _ = mgm(*arguments, "--seeds", "4", "--plan")
    assert code == 0
    assert "Fewer than two pilot seeds are finished" in out
    assert (
        "8 of 8 trials are left; their duration is unknown until one trial of each of these recipes is finished: mt."
        in out
    )
    assert not list(tmp_path.iterdir())
    rng = np.random.default_rng(0)
    commands = [shlex.split(line) for line in mgm(*arguments, "--seeds", "3", "--dry-run")[1].splitlines()]
    for number, command in sorted(enumerate(commands), key=lambda pair: pair[0] % 3):  # seed by seed
        pretend(
            RunFolder(Path(command[-1])),
            three_tasks(*rng.normal([0.1 + 0.1 * (number > 2), 1.0, 30.0], 0.01)),
            seconds=1800.0,
        )
        if number == 3:
            out = mgm.done(*arguments, "--seeds", "4", "--plan")
            assert "Fewer than two pilot seeds are finished" in out
            assert "6 of 8 trials are left: 3.0 hours" in out
    out = mgm.done(*arguments, "--seeds", "4", "--plan", "--workers", "2")
    row = next(line for line in out.splitlines() if "| semantic" in line).strip("|").split("|")
    cells = [cell.strip() for cell in row]
    assert cells[:3] == ["MT, twice the labels − MT", "semantic", "3"]
    assert "+" not in cells[4] + cells[5]
    assert float(cells[5]) == pytest.approx(detectable_difference(float(cells[4]), 4, 0.05 / 4), rel=0.02)
    assert "2 of 8 trials are left: 1.0 hours of training, 0.5 with 2 at a time." in out
    alone = "1.0 hours of training, 1.0 with 1 at a time."
    assert mgm.done(*arguments, "--seeds", "4", "--plan", "--in-process").rstrip().endswith(alone)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    for options, ending in (((), alone), (("--ray", "local"), "1.0 hours of training.")):
        assert mgm.done(*arguments, "--seeds", "4", "--plan", *options).rstrip().endswith(ending)


def test_a_table_from_a_failed_trial_to_the_end(mgm, tmp_path, monkeypatch) -> None:
    arguments = ("experiment", "table8", *TINY, "--out", tmp_path, *SHORT)
    train = api.train_and_draw

    def some(experiment, *args, **kwargs):
        if experiment.recipe == "st_large":
            raise TrainingDivergedError("the task loss is nan")
        return train(experiment, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("mgm.api.train_and_draw", some)
        code, out, err = mgm(*arguments)
    assert code == 2
    assert "failed: the task loss is nan" in err
    assert "1 trials did not finish" in err
    assert "| MT " in out
    assert (tmp_path / "table8" / "table.md").exists()
    code, out, err = mgm(*arguments)  # what is lacking alone is trained
    assert code == 0, err
    assert "| MT_l " in out
    assert "[1/1]" in err
    result = {row["model"]: row for row in csv.DictReader((tmp_path / "table8" / "table.csv").read_text().splitlines())}
    trial = next(
        t for t in json.loads((tmp_path / "table8" / "experiment.json").read_text())["trials"] if t["model"] == "ST"
    )
    numbers = json.loads((tmp_path / "table8" / trial["folder"] / "result.json").read_text())
    assert float(result["ST"]["mean"]) == pytest.approx(numbers["test"]["normal"]["angle_deg"], rel=1e-4)
    code, again, err = mgm(*arguments)  # everything is there: nothing runs, and the table is the same
    assert (code, again) == (0, out)
    assert "[1/" not in err


KINDS = {
    "table1": ((), ()),  # labels of an earlier run
    "table6": ((), ("--tasks", "depth", "normal")),  # groups chosen by the scores of earlier runs
    "table11": (("--settings", "25"), ()),  # the encoder of an earlier run
    "table15": ((), ()),  # generators of earlier runs
    "figure4": ((), ()),
    "figure7": ((), ()),
}
"""Experiments that between them do everything that one can, and options; the plans of all are tested in tests/experiments."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("experiments")


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_experiment_runs_end_to_end(mgm, place, name) -> None:
    """On the same place, so that experiments share their trials as they do for users."""
    options, settings = KINDS[name]
    mgm.done("experiment", name, *TINY, *options, "--out", place, *SHORT, *settings)
    folder = place / name
    assert {"table.md", "table.csv", "table.json", "experiment.json", "figure.png", "figure.pdf"} <= {
        path.name for path in folder.iterdir()
    }
    about = json.loads((folder / "experiment.json").read_text())
    assert {trial["state"] for trial in about["trials"]} == {"finished"}
    table = json.loads((folder / "table.json").read_text())
    for row in table["rows"]:
        if row["model"] == CONSTANT.title:
            continue
        assert row["count"] == 1, row
        trial = next(t for t in about["trials"] if (t["model"], t["setting"]) == (row["model"], row["setting"]))
        result = json.loads((folder / trial["folder"] / "result.json").read_text())
        for key, value in row["values"].items():
            task, metric = key.split(".")
            assert value["values"] == [result["test"].get(task, {}).get(metric)]
    if STUDIES[name].figure == "predictions":
        assert (folder / "predictions.png").exists()
        assert (folder / "predictions.pdf").exists()
    if STUDIES[name].figure == "generated":
        assert (folder / "generated_MGM.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_ended_in_the_middle_and_started_again_gives_the_same_table(mgm, place, tmp_path, how) -> None:
    whole, broken = place / "whole", tmp_path / "broken"
    assert mgm("experiment", "null", *TINY, "--out", whole, *ROOMS)[0] == 0
    command = [sys.executable, "-m", "mgm.cli.main", "experiment", "null", *TINY[:4], "--workers", "2"]
    first = subprocess.Popen(
        [*command, "--out", str(broken), *ROOMS],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, text=True,
    )  # fmt: skip
    deadline = time.time() + 120
    while not list(broken.glob("trials/*/checkpoints/last.pt")) and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(first.pid, how)
    if how == signal.SIGTERM:
        _, err = first.communicate(timeout=60)
        assert first.returncode == 128 + signal.SIGTERM
        assert err.endswith("mgm: stopped\n")
        assert "Traceback" not in err
        # it has ended its trials before itself, each with its last step saved
        assert subprocess.run(["pgrep", "-f", str(broken)], check=False, stdout=subprocess.DEVNULL).returncode == 1
    else:
        first.communicate()
        # the trials are sessions of their own: they go on, and are waited for
        while subprocess.run(["pkill", "-KILL", "-f", str(broken)], check=False).returncode == 0:
            time.sleep(0.1)  # a process that is killed goes on for a moment
        assert not (broken / "null").exists()
    mgm.done("experiment", "null", *TINY, "--out", broken, *ROOMS)
    for name in ("table.csv", "table.json"):
        assert (broken / "null" / name).read_text() == (whole / "null" / name).read_text()
