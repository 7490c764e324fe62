"""The campaign ends in time, writes what it knows, and does nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gpu_campaign
from gpu_campaign import Job, carry_out, known

SCRIPT = Path(gpu_campaign.__file__)


def job(name: str, code: str, tmp_path: Path) -> Job:
    result = tmp_path / f"{name}-result.json"
    return Job(name, (sys.executable, "-c", code.replace("RESULT", repr(str(result)))), result)


def test_results_are_written_one_by_one_and_failures_say_why(tmp_path):
    jobs = [
        job("good", "open(RESULT, 'w').write('{\"score\": 1}')", tmp_path),
        job("bad", "raise SystemExit('no such device')", tmp_path),
        job("endless", "import time; time.sleep(100)", tmp_path),
    ]
    begun = time.monotonic()
    carry_out(jobs, tmp_path, 3, begun + 5)
    assert time.monotonic() - begun < 30  # not 100
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in ("good", "bad", "endless")}
    assert found["good"]["result"] == {"score": 1}
    assert "no such device" in found["bad"]["error"]
    assert found["endless"]["error"].startswith("status -9")
    assert [known(tmp_path, each) for each in jobs] == [True, False, False]


def test_nothing_is_begun_after_the_end(tmp_path):
    carry_out([job("late", "pass", tmp_path)], tmp_path, 1, time.monotonic() - 1)
    assert not (tmp_path / "late.json").exists()


@pytest.mark.slow
def test_rehearsal_on_a_cpu(tmp_path):
    command = [sys.executable, SCRIPT, "--device", "cpu", "--preset", "tiny", "--seconds", "90", "--processes", "2"]
    done = subprocess.run([*command, "--out", tmp_path / "out"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}
    assert {"gpu_tests", "smoke_mgm"} <= found.keys()
    for name, result in found.items():
        assert not result["error"] or result["error"].startswith("status -9"), f"{name}: {result['error']}"
