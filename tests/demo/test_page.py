"""What the page is made of, for runs of every kind, without serving it."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

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
    """The handlers, a visitor, an upload of hers, and the settings."""
    from mgm.demo import page

    monkeypatch.setattr(page, "points_figure", lambda *_: None)
    uploads.folder.mkdir()
    Image.fromarray(photo).save(uploads.folder / "mine.png")
    upload = {"path": str(uploads.folder / "mine.png"), "orig_name": "mine.png"}
    visitor = SimpleNamespace(session_hash="ann")
    return page.Answers(served, uploads), visitor, upload, (served.first.title, 60, "photograph")


@pytest.mark.parametrize("asked", ["again", "begin", "example"])
def test_an_upload_during_another_prediction_is_what_box_and_predictions_show(ann, monkeypatch, asked):
    """Of two answers to one visitor the one that was asked for last counts, whichever is ready first."""
    import gradio as gr

    from mgm.demo import page

    (answers, visitor, upload, settings), look, later = ann, page.look, []
    answers.begin(*settings, visitor)

    def interrupted(*args):
        if not later:
            later.append(None)
            later[0] = answers.predict(upload, *settings, visitor)
        return look(*args)

    monkeypatch.setattr(page, "look", interrupted)
    if asked == "example":
        early = answers.example(*settings, SimpleNamespace(index=1), visitor)
    else:
        early = getattr(answers, asked)(*settings, visitor)
    assert early == gr.skip()
    assert later[0][0] == upload["path"]
    assert later[0][1].photograph.name == "mine.png"
    again = answers.again(*settings, visitor)
    assert again[0] == upload["path"]
    assert answers.clear(visitor)[:2] == (None, None)
    assert answers.again(*settings, visitor)[:2] == (None, None)


def test_another_run_that_is_chosen_while_an_upload_is_read_shows_the_upload(ann, monkeypatch):
    from mgm.demo import page

    answers, visitor, upload, settings = ann
    answers.begin(*settings, visitor)
    read, pool = page.read_photograph, ThreadPoolExecutor(1)
    later = []

    def slow(*args):
        later.append(pool.submit(answers.again, *settings, visitor))
        time.sleep(0.2)
        return read(*args)

    monkeypatch.setattr(page, "read_photograph", slow)
    answers.predict(upload, *settings, visitor)
    shown = later[0].result()
    assert shown[0] == upload["path"]
    assert shown[1].photograph.name == "mine.png"
    pool.shutdown()


def test_answers_about_what_is_no_longer_shown_change_nothing(ann):
    import gradio as gr

    answers, visitor, upload, settings = ann
    old = answers.begin(*settings, visitor)[1]
    seen = answers.predict(upload, *settings, visitor)[1]
    about = {"confidence": (True, visitor), "turn": (60, "photograph", visitor), "write": (60, visitor)}
    for name, rest in about.items():
        assert getattr(answers, name)(old, *rest) == gr.skip(), name
        assert getattr(answers, name)(seen, *rest) != gr.skip(), name
