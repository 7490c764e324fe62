"""The scripts that make the numbers of `results/` start; what they measure with is tested elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text())
"""Without the modules that they import."""


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_python_scripts_start(script):
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_complete(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
