"""The scripts that make the numbers of `results/` start; what they measure with is tested beside."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text())
"""Without the modules that they import."""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_python_scripts_start(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_complete(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
