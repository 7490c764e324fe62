"""The campaign ends in time, writes what it knows, and does nothing twice."""

import argparse
import json
import sys
import time
from pathlib import Path

import pytest

import step
from gpu_campaign import Job, carry_out, known, phases
from mgm.cli.train import parse_train
from mgm.runs.checks import check_experiment


def job(name: str, code: str, tmp_path: Path) -> Job:
    result = tmp_path / f"{name}-result.json"
    return Job(name, (sys.executable, "-c", code.replace("RESULT", repr(str(result)))), result)


def test_results_are_written_one_by_one_and_failures_say_why(tmp_path):
    jobs = [
        job("good", "open(RESULT, 'w').write('{\"score\": 1}')", tmp_path),
        job("bad", "raise SystemExit('no such device')", tmp_path),
        job("endless", "import time; time.sleep(1000)", tmp_path),
    ]
    carry_out(jobs, tmp_path, 3, time.monotonic() + 5)
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("good", "bad", "endless")}
    assert found["good"]["result"] == {"score": 1}
    assert "no such device" in found["bad"]["error"]
    assert found["endless"]["error"].startswith("status -9")
    assert [known(tmp_path, each) for each in jobs] == [True, False, False]


def test_nothing_is_begun_after_the_end(tmp_path):
    carry_out([job("late", "pass", tmp_path)], tmp_path, 1, time.monotonic() - 1)
    assert not (tmp_path / "late.json").exists()


def options(out: Path) -> argparse.Namespace:
    return argparse.Namespace(out=out, data="rooms", device="cpu", preset="tiny", processes=2)


def test_every_training_is_a_command_that_exists(tmp_path):
    for preset in ("tiny", ""):
        rehearsal = options(tmp_path)
        rehearsal.preset = preset
        jobs = [job for _, some, _ in phases(rehearsal, tmp_path) for job in some]
        assert len({job.name for job in jobs}) == len(jobs)
        trainings = [job.command[4:] for job in jobs if job.command[3:4] == ("train",)]
        assert len(trainings) > 50
        for words in {words[:3]: words for words in trainings}.values():
            check_experiment(parse_train(list(words)).experiment)


@pytest.mark.slow
def test_rehearsal_of_a_training_and_a_step_whose_parts_add_up_to_it(tmp_path, monkeypatch):
    jobs = {job.name: job for _, some, _ in phases(options(tmp_path), tmp_path) for job in some}
    carry_out([jobs["smoke_mgm"]], tmp_path, 2, time.monotonic() + 300)
    found = json.loads((tmp_path / "smoke_mgm.json").read_text())
    assert found["error"] == ""
    assert found["result"]["recipe"] == "mgm"
    monkeypatch.setattr(step, "SETTINGS", {"ours": {}})
    small = ("--size", "32", "--width", "4", "--batch", "4")
    monkeypatch.setattr(sys, "argv", [*jobs["step_counts"].command[1:], *small])
    step.main()
    counted = json.loads(jobs["step_counts"].result.read_text())
    (ours,) = (row for row in counted["variants"] if row["variant"] == "ours")
    parts = {row["part"]: row for row in counted["parts"]}
    assert sum(row["flop"] for row in parts.values()) == ours["flop"]
    assert parts["discriminator"]["flop"] > 0 < parts["task"]["peak_bytes"]
