"""Every code block and command of the documents on prediction and on models that travel runs as it stands."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgm.cli.main import main
from trained_toys import toy_settings, write_run

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = re.compile(r"^```python\n(.*?)^```$|^    (mgm [^\n]*)$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where a reader of the documents would be."""
    write_run(tmp_path / "runs/first")
    write_run(tmp_path / "runs/second", toy_settings(seed=1))
    for name in ("photo.jpg", "holiday/beach.jpg", "holiday/day 2/beach.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((80, 120, 3), 99, np.uint8)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_document(name: str, monkeypatch) -> None:
    blocks = BLOCKS.findall((DOCS / name).read_text())
    assert len(blocks) > 4
    for code, command in blocks:
        if code:
            exec(compile(code, name, "exec"), {})
        else:
            monkeypatch.setattr(sys, "argv", shlex.split(command, comments=True))
            main()


def test_predicting(place, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mgm", "export", "runs/first", "--out", "models/first"])
    main()
    run_document("predicting.md", monkeypatch)
    assert (place / "results/day 2/beach_all.png").exists()
    assert (place / "cloud/photo_points.ply").exists()
    assert (place / "piecewise/photo_depth_mm.png").exists()


@pytest.mark.slow
def test_models_that_travel(place, monkeypatch):
    pytest.importorskip("onnxruntime")
    run_document("models_that_travel.md", monkeypatch)
    assert "2 seeds" in (place / "models/spread/README.md").read_text()
    assert (place / "models/saved/model.safetensors").exists()
