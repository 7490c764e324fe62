"""The guides of docs/ that show code: it runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = ("balancing.md", "encoders.md", "watching.md")


@pytest.mark.parametrize("name", GUIDES)
def test_code_runs(name, tmp_path, monkeypatch):
    if name == "encoders.md":
        pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    exec(compile(code, name, "exec"), names)
    if name == "encoders.md":
        assert names["backbone"]["backbone"]["model_type"] == "resnet"
    if name == "balancing.md":
        assert names["experiment"].method.balance == "uncertainty"
