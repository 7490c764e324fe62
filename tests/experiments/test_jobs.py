"""Trials as processes: finished, failed, killed, continued, waited for. The training itself is played by a script."""

import os
import sys
import threading
import time

import pytest

from mgm.experiments import jobs
from mgm.experiments.jobs import Job, carry_out
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder

BEGIN = "import pathlib, sys, os, signal\nrun = pathlib.Path(sys.argv[1]); run.mkdir(parents=True, exist_ok=True)\n"
CONFIG = "(run / 'config.yaml').write_text('seed: 0')\n"
FINISH = "(run / 'result.json').write_text('{}')\n"
COUNT = "tries = run / 'tries'; tries.write_text(tries.read_text() + 'x' if tries.exists() else 'x')\n"


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Let a script stand for the training; returns the job and its folder."""

    def use(script: str, **changes) -> tuple[Job, RunFolder]:
        folder = RunFolder(tmp_path / "trials" / "mt-12.5pc-s0")
        monkeypatch.setattr(
            jobs, "_command", lambda job, run: [sys.executable, "-c", BEGIN + COUNT + script, str(run.path)]
        )
        return Job(folder.path.name, str(folder.path), make_experiment("mt", "tiny"), (), **changes), folder

    return use


def tries(folder: RunFolder) -> int:
    return len((folder.path / "tries").read_text())


def test_a_trial_that_finishes(play) -> None:
    job, folder = play("print('hello')\n" + CONFIG + FINISH)
    outcome = carry_out(job)
    assert (outcome.name, outcome.error) == ("mt-12.5pc-s0", "")
    assert (folder.path.parent / "mt-12.5pc-s0.log").read_text() == "hello\n"
    assert carry_out(job).error == ""
    assert tries(folder) == 1  # finished ones are left alone


def test_an_error_of_its_own_is_reported_and_not_tried_again(play) -> None:
    job, folder = play(CONFIG + "print('first'); sys.exit('mgm: error: no such data')")
    assert carry_out(job).error.startswith("mgm: error: no such data (log: ")
    assert tries(folder) == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_a_killed_one_is_continued_as_often_as_allowed(play, retries) -> None:
    job, folder = play(CONFIG + "os.kill(os.getpid(), signal.SIGKILL)", retries=retries)
    assert carry_out(job).error.startswith("killed by signal 9")
    assert tries(folder) == 1 + retries


def test_a_killed_one_that_then_finishes(play) -> None:
    job, folder = play(
        CONFIG + "if len(tries.read_text()) == 1: os.kill(os.getpid(), signal.SIGKILL)\n" + FINISH, retries=1
    )
    assert carry_out(job).error == ""
    assert tries(folder) == 2


def test_one_that_a_signal_has_ended_in_order_was_killed_too(play) -> None:
    job, folder = play(CONFIG + "if len(tries.read_text()) == 1: sys.exit(143)\n" + FINISH, retries=1)
    assert carry_out(job).error == ""
    assert tries(folder) == 2


def test_a_place_that_cannot_be_written_to_is_said(tmp_path) -> None:
    (tmp_path / "trials").write_text("no folder")
    job = Job("one", str(tmp_path / "trials" / "one"), make_experiment("mt", "tiny"), ())
    assert "cannot create" in carry_out(job).error


def test_a_process_that_ends_well_without_a_result_is_not_asked_for_ever(play) -> None:
    job, folder = play(CONFIG)
    assert "ended without a result" in carry_out(job).error
    assert tries(folder) == 1


def test_stopping_ends_the_process(play) -> None:
    job, folder = play(CONFIG + "(run / 'pid').write_text(str(os.getpid()))\nimport time; time.sleep(60)")
    outcome = carry_out(job, stopped=(folder.path / "pid").exists)
    assert outcome.error == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder.path / "pid").read_text()), 0)


def test_a_folder_in_use_is_waited_for(play) -> None:
    job, folder = play("raise SystemExit('must not run')")
    folder.path.mkdir(parents=True)
    folder.config.write_text("seed: 0")
    lock = folder.lock()
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(carry_out(job)))
    thread.start()
    time.sleep(3 * jobs.LOOK_EVERY_S)
    assert not outcomes
    folder.result.write_text("{}")
    lock.release()
    thread.join(10)
    assert outcomes[0].error == ""
    assert not (folder.path / "tries").exists()


def test_the_environment_reaches_the_process(play) -> None:
    job, folder = play("(run / 'seen').write_text(os.environ['SHARE'])\n" + FINISH, environment={"SHARE": "0.5"})
    carry_out(job)
    assert (folder.path / "seen").read_text() == "0.5"


def test_commands(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    job = Job("one", str(folder.path), make_experiment("mt", "tiny"), ("mt", "--seed", "1"))
    fresh = jobs._command(job, folder)
    assert fresh[1:] == ["-m", "mgm.cli.main", "train", "mt", "--seed", "1", "--no-baseline", "--out", str(folder.path)]
    folder.path.mkdir()
    folder.config.write_text("seed: 1")
    assert jobs._command(job, folder)[1:] == ["-m", "mgm.cli.main", "train", "--resume", str(folder.path)]
    several = jobs._command(Job("one", str(folder.path), job.experiment, (), processes=2), folder)
    assert several[1:6] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
