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
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)
    assert blocks
    for code in blocks:
        exec(compile(code, name, "exec"), names)
    if name == "encoders.md":
        assert names["backbone"]["backbone"]["model_type"] == "resnet"
        assert [level.shape[1] for level in names["pyramid"]] == [16, 24, 40, 112, 320]
    if name == "balancing.md":
        assert names["experiment"].method.balance == "uncertainty"
