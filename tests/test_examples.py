"""The code that people read first runs as it stands."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
from PIL import Image

import mgm
from documents import ROOT, python_of


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
    (block,) = python_of(ROOT / "README.md")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    original = mgm.make_experiment
    monkeypatch.setattr(mgm, "make_experiment", lambda recipe, preset: original(recipe, "tiny"), raising=False)
    names: dict = {}
    exec(compile(block.text, "README.md", "exec"), names)
    assert names["values"]["depth"].shape == (1, 40, 60)
    assert names["result"]["recipe"] == "mgm"
