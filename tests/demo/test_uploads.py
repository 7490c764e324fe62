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


def file(uploads: Uploads, name: str, age: float = 0.0) -> Path:
    path = uploads.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_an_upload_is_an_ordinary_file_below_the_folder(uploads, tmp_path):
    inside, outside = file(uploads, "a/b.png"), tmp_path / "c.png"
    outside.write_bytes(b"x")
    (uploads.folder / "in.png").symlink_to(inside)
    (uploads.folder / "out.png").symlink_to(outside)
    (uploads.folder / "round.png").symlink_to(uploads.folder / "round.png")
    assert uploads.holds(inside)
    assert uploads.holds(str(uploads.folder / "in.png"))
    beside = tmp_path / "uploads-too" / "d.png"
    beside.parent.mkdir()
    beside.write_bytes(b"x")
    strange = (outside, beside, uploads.folder, inside.parent, uploads.folder / "out.png", uploads.folder / "round.png")
    assert not any(uploads.holds(path) for path in (*strange, "", "\0"))


def test_a_folder_that_is_reached_by_a_link_holds_its_files(uploads, tmp_path):
    (tmp_path / "link").symlink_to(uploads.folder)
    file(uploads, "a.png")
    assert Uploads(tmp_path / "link").holds(tmp_path / "link" / "a.png")
    assert Uploads(tmp_path / "link").holds(uploads.folder / "a.png")


def test_old_files_go_whether_or_not_they_were_ever_used(uploads):
    page = file(uploads, "page/example.png")
    uploads.keep_present()
    used, unused, broken_off = (file(uploads, name) for name in ("a/used.png", "b/unused.png", "tmp1234"))
    uploads.used(used, "ann")
    uploads.sweep(time.time() + KEEP_FOR - 60)
    assert all(path.exists() for path in (page, used, unused, broken_off))
    uploads.sweep(time.time() + KEEP_FOR + 60)
    assert page.exists()
    assert not any(path.exists() for path in (used, unused, broken_off))
    uploads.sweep(time.time() + 2 * KEEP_FOR)
    assert sorted(path.name for path in uploads.folder.iterdir()) == ["page"]


def test_a_file_that_was_touched_is_young_again(uploads):
    """The library touches what it hands out once more; its own time of change says so even where the date is old."""
    path = file(uploads, "a.png", age=2 * KEEP_FOR)
    uploads.sweep()
    assert path.exists()


def test_links_go_and_never_what_they_lead_to(uploads, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "a.png").write_bytes(b"x")
    (uploads.folder / "link").symlink_to(tmp_path / "kept")
    uploads.sweep(time.time() + KEEP_FOR + 60)
    assert not (uploads.folder / "link").is_symlink()
    assert (tmp_path / "kept" / "a.png").exists()


def test_it_sweeps_again_and_again_until_the_end(uploads, monkeypatch):
    waits, sweeps = [], []

    def sweep() -> None:
        sweeps.append(1)
        raise FileNotFoundError  # a file that went meanwhile ends nothing

    def ended(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 4

    monkeypatch.setattr(uploads, "sweep", sweep)
    uploads.sweep_until(ended)
    assert waits == [SWEEP_EVERY] * 4
    assert len(sweeps) == 3


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
