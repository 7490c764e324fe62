"""The code that people read first runs as it stands."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mgm
from mgm.cli import VERBS
from mgm.commands import parse_train

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_minimal_example(tmp_path, capsys):
    runpy.run_path(str(ROOT / "examples/minimal.py"))["main"](tmp_path)
    out = capsys.readouterr().out
    assert "gain over the baseline, mean:" in out
    assert "predicted normal: (3, 120, 160)" in out
    assert (tmp_path / "run/pictures/predictions.png").exists()


@pytest.mark.slow
def test_python_of_the_readme(tmp_path, monkeypatch):
    """With the scale replaced by the smallest one; everything else as printed."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    original = mgm.make_experiment
    monkeypatch.setattr(mgm, "make_experiment", lambda recipe, preset: original(recipe, "tiny"), raising=False)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["values"]["depth"].shape == (1, 40, 60)
    assert names["result"]["recipe"] == "mgm"


def commands_in(path: Path) -> list[list[str]]:
    """Lines of a document that call ``mgm``, as words without the comment."""
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines() if line.startswith("    "))
    return [words[1:] for words in lines if words and words[0] == "mgm"]


@pytest.mark.parametrize("name", ["README.md", "docs/data.md"])
def test_commands_in_documents_exist(name):
    commands = commands_in(ROOT / name)
    assert commands
    for verb, *arguments in commands:
        assert verb in VERBS, f"{name}: mgm {verb}"
        if verb == "train" and "--resume" not in arguments and "..." not in arguments:
            assert parse_train(arguments).experiment.recipe == arguments[0]
