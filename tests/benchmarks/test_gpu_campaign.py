"""The campaign ends in time, writes what it knows, and does nothing twice."""

import argparse
import json
import sys
import time
from pathlib import Path

import pytest

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
def test_rehearsal_of_a_training_and_a_step(tmp_path):
    jobs = {job.name: job for _, some, _ in phases(options(tmp_path), tmp_path) for job in some}
    carry_out([jobs["smoke_mgm"], jobs["step_counts"]], tmp_path, 2, time.monotonic() + 300)
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("smoke_mgm", "step_counts")}
    assert [found[name]["error"] for name in found] == ["", ""]
    assert found["smoke_mgm"]["result"]["recipe"] == "mgm"
    assert found["step_counts"]["result"]
