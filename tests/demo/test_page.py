"""What the page is made of, for runs of every kind, without serving it."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from PIL import Image

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
    assert "3D view" not in said
    assert "run (mgm) has no generator: its recipe trains none" in said
    assert "There is only one run, so there is nothing to compare. To compare two: mgm serve RUN RUN2" in said
    assert "No example images:" in said
    assert "nowhere/photos" in said


def test_nothing_is_missing_where_all_is_there(served, uploads):
    said = texts(served, uploads)
    assert "has no generator" not in said
    assert "nothing to compare" not in said


def test_names_of_folders_are_text_and_never_markup(run, tmp_path, uploads):
    runs = [tmp_path / "<b>one", tmp_path / "<b>two"]
    for copy in runs:
        shutil.copytree(run, copy)
    said = texts(open_runs(runs, "cpu"), uploads)
    assert "<b>two" not in said.replace("<b>&lt;b&gt;two", "")
    assert said.count("&lt;b&gt;two") == 2


@pytest.fixture
def ann(served, uploads, photo, monkeypatch):
    """The handlers, an upload of a visitor, and the inputs of all events: her session and her settings."""
    from mgm.demo import visitors

    monkeypatch.setattr(visitors, "points_figure", lambda *_: "points")
    uploads.folder.mkdir()
    Image.fromarray(photo).save(uploads.folder / "mine.png")
    upload = {"path": str(uploads.folder / "mine.png"), "orig_name": "mine.png"}
    settings = (visitors.Visitor(), served.first.title, 60, "photograph")
    answers, request = visitors.Answers(served, uploads), cast(Any, SimpleNamespace(session_hash="ann"))
    return answers, lambda: answers.predict(upload, *settings, request), settings


def during(monkeypatch, name: str, act) -> None:
    """Do something the first time that a function of the handlers runs."""
    from mgm.demo import visitors

    real = getattr(visitors, name)

    def interrupted(*args):
        monkeypatch.setattr(visitors, name, real)
        act()
        return real(*args)

    monkeypatch.setattr(visitors, name, interrupted)


@pytest.mark.parametrize("asked", ["again", "begin", "example"])
def test_an_upload_during_another_prediction_is_what_box_and_predictions_show(ann, monkeypatch, asked):
    """Of two answers to one visitor the one that was asked for last counts, whichever is ready first."""
    import gradio as gr

    (answers, predict, settings), later = ann, []
    visitor = settings[0]
    answers.begin(*settings)
    during(monkeypatch, "predict_photograph", lambda: later.append(predict()))
    event = (SimpleNamespace(index=1),) if asked == "example" else ()
    assert getattr(answers, asked)(*settings, *event) == gr.skip()
    assert later[0][0].endswith("mine.png")
    assert visitor.seen.photograph.name == "mine.png"
    assert answers.again(*settings)[0] == later[0][0]
    for cleared in (answers.clear(visitor), answers.again(*settings)):
        assert cleared[0] is visitor.seen is None
        assert "Drop an image" in cleared[2]


def test_another_run_that_is_chosen_while_an_upload_is_read_shows_the_upload(ann, monkeypatch):
    answers, predict, settings = ann
    answers.begin(*settings)
    later = []
    with ThreadPoolExecutor(1) as pool:

        def choose() -> None:
            before = settings[0].chosen
            later.append(pool.submit(answers.again, *settings))
            while settings[0].chosen is before:
                time.sleep(0.01)

        during(monkeypatch, "read_photograph", choose)
        predict()
        assert later[0].result()[0].endswith("mine.png")
    assert settings[0].seen.photograph.name == "mine.png"


@pytest.mark.parametrize(
    "name, computes, inputs",
    [
        ("confidence", "confidence_html", (True,)),
        ("turn", "points_figure", (60, "photograph")),
        ("write", "write_downloads", (60, SimpleNamespace(session_hash="ann"))),
    ],
)
def test_answers_about_what_is_no_longer_shown_change_nothing(ann, monkeypatch, name, computes, inputs):
    import gradio as gr

    answers, predict, settings = ann
    answers.begin(*settings)
    during(monkeypatch, computes, predict)
    assert getattr(answers, name)(settings[0], *inputs) == gr.skip()
    assert getattr(answers, name)(settings[0], *inputs) not in (gr.skip(), None, "", [])
