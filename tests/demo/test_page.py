"""What the page is made of, for runs of every kind, without serving it."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from fake_runs import INFO, write_run
from gradio_marks import GRADIO_MARKS
from mgm.demo.runs import open_runs
from mgm.demo.uploads import Uploads

pytest.importorskip("gradio")

pytestmark = GRADIO_MARKS


@pytest.fixture(autouse=True)
def uploads(tmp_path, monkeypatch) -> Uploads:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return Uploads(tmp_path / "uploads")


def texts(served, uploads) -> str:
    from mgm.demo.page import make_page

    parts = make_page(served, uploads).get_config_file()["components"]
    return "\n".join(str(part["props"].get("value")) for part in parts if part["type"] == "html")


def test_a_part_that_cannot_work_says_why(tmp_path, uploads):
    run = write_run(tmp_path / "run", info=replace(INFO, tasks=("semantic",)), data="nowhere/photos")
    said = texts(open_runs([run], "cpu"), uploads)
    assert "Depth is not predicted here, so there is no view in space." in said
    assert "run (mgm) has no generator: its recipe trains none" in said
    assert "There is one run only, and nothing to compare it with. Name two: mgm serve RUN RUN2" in said
    assert "No example images:" in said
    assert "nowhere/photos" in said


def test_nothing_is_missing_where_all_is_there(served, uploads):
    said = texts(served, uploads)
    assert "no view in space" not in said
    assert "has no generator" not in said
    assert "nothing to compare" not in said


def test_names_of_folders_are_text_and_never_markup(run, tmp_path, uploads):
    runs = [tmp_path / "<b>one", tmp_path / "<b>two"]
    for copy in runs:
        shutil.copytree(run, copy)
    said = texts(open_runs(runs, "cpu"), uploads)
    assert "<b>two" not in said.replace("<b>&lt;b&gt;two", "")
    assert said.count("&lt;b&gt;two") == 2
