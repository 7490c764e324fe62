"""The folder of visitors' files: what counts as one, and when they go."""

import os
import time
from pathlib import Path

import pytest

from mgm.demo.uploads import KEEP_FOR, SWEEP_EVERY, Uploads


@pytest.fixture
def uploads(tmp_path) -> Uploads:
    (tmp_path / "uploads").mkdir()
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def wait(monkeypatch):
    """Lets the clock run ahead by some seconds."""
    ahead, clock = [0.0], time.time
    monkeypatch.setattr("mgm.demo.uploads.time.time", lambda: clock() + sum(ahead))
    return ahead.append


def file(uploads: Uploads, name: str, age: float = 0.0) -> Path:
    path = uploads.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_folder_that_is_reached_by_a_link_holds_its_files_and_no_others(uploads, tmp_path):
    (tmp_path / "link").symlink_to(uploads.folder)
    file(uploads, "a.png")
    file(Uploads(tmp_path), "uploads-too/a.png")
    for folder in (tmp_path / "link", uploads.folder):
        assert Uploads(tmp_path / "link").holds(folder / "a.png")
    assert not Uploads(tmp_path / "link").holds(tmp_path / "uploads-too" / "a.png")


def test_old_files_go_whether_or_not_they_were_ever_used(uploads, wait):
    page = file(uploads, "page/example.png")
    uploads.keep_present()
    used, unused, broken_off = (file(uploads, name) for name in ("a/used.png", "b/unused.png", "tmp1234"))
    uploads.used(used, "ann")
    wait(KEEP_FOR - 60)
    uploads.sweep()
    assert all(path.exists() for path in (page, used, unused, broken_off))
    wait(120)
    uploads.sweep()
    assert page.exists()
    assert not any(path.exists() for path in (used, unused, broken_off))
    wait(KEEP_FOR)
    uploads.sweep()
    assert sorted(path.name for path in uploads.folder.iterdir()) == ["page"]


def test_a_file_that_was_touched_is_young_again(uploads):
    """The library touches what it hands out once more; its own time of change says so even where the date is old."""
    path = file(uploads, "a.png", age=2 * KEEP_FOR)
    uploads.sweep()
    assert path.exists()


def test_links_go_and_never_what_they_lead_to(uploads, tmp_path, wait):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.png").write_bytes(b"x")
    (uploads.folder / "link").symlink_to(tmp_path / "kept")
    wait(KEEP_FOR + 60)
    uploads.sweep()
    assert not (uploads.folder / "link").is_symlink()
    assert (tmp_path / "kept" / "a.png").exists()


def test_it_sweeps_again_and_again_until_the_end(uploads, wait):
    path = file(uploads, "a.png")

    def ended(seconds: float) -> bool:
        assert seconds == SWEEP_EVERY
        wait(seconds)
        return not path.exists()

    uploads.sweep_until(ended)


def test_what_a_visitor_leaves_behind_goes_unless_it_is_somebody_elses_too(uploads):
    page = file(uploads, "page.png")
    uploads.keep_present()
    own, shared = file(uploads, "own.png"), file(uploads, "shared.png")
    for path in (own, shared, page):
        uploads.used(path, "ann")
    uploads.used(shared, "bob")
    made = file(uploads, f"downloads/{uploads.downloads('ann').name}/a.npy")
    uploads.forget("ann")
    assert [path.exists() for path in (own, shared, page, made)] == [False, True, True, False]
    uploads.forget("nobody")
    uploads.forget("bob")
    assert not shared.exists()


@pytest.mark.parametrize("session", ["../../..", "/etc", "a/b", "\0", "", None])
def test_no_name_of_a_session_leads_out_of_the_folder(uploads, session):
    assert uploads.downloads(session).parent == uploads.folder / "downloads"
