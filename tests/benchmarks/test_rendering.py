"""The benchmark of rendering: its phases exist, and their shares are those of one whole."""

import json
import sys

import pytest

import rendering


def test_phases_share_the_time_of_rendering(tmp_path, monkeypatch, capsys):
    file = tmp_path / "found.json"
    monkeypatch.setattr(sys, "argv", ["rendering.py", "--sizes", "16", "--num-images", "2", "--json", str(file)])
    rendering.main()
    found = json.loads(file.read_text())["16"]
    assert found.pop("images_per_second") > 0
    assert set(found) == {*rendering.PHASES, "light and the rest"}
    assert min(found.values()) >= 0
    assert sum(found.values()) == pytest.approx(1, abs=0.01)
    assert "shadow rays" in capsys.readouterr().out
