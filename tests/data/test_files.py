"""Folders and archives look the same, and broken ones say so."""

import os
import pickle
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fakes import write_files
from mgm.data.files import LONGEST_NAME, as_file_name, open_tree, remove_drafts
from mgm.errors import DataError

FILES = {"a/1.png": b"one", "a/2.png": b"two", "b/1.PNG": b"three", "list.txt": b" x \n\ny\n"}


@pytest.fixture(params=["folder", "zip", "zip below a folder"])
def tree(request, tmp_path):
    if request.param == "folder":
        return open_tree(write_files(tmp_path / "data", FILES))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"top/{name}" if "below" in request.param else name, content)
    return open_tree(str(tmp_path / "data.zip"))


def test_same_view(tree):
    assert tree.names() == sorted(FILES)
    assert tree.read("a/2.png") == b"two"
    assert tree.lines("list.txt") == ["x", "y"]


def test_missing_files_are_named(tree):
    with pytest.raises(DataError, match=r"a/3.png: missing"):
        tree.read("a/3.png")


def test_can_be_pickled_after_use(tree):
    tree.read("a/1.png")
    copy = pickle.loads(pickle.dumps(tree))
    assert copy.read("a/1.png") == b"one"
    assert copy.digest() == tree.digest()


def test_digest_sees_changes(tmp_path):
    folder = write_files(tmp_path / "data", FILES)
    before = open_tree(folder).digest()
    assert open_tree(folder).digest() == before
    (folder / "a" / "2.png").write_bytes(b"TWO!")
    assert open_tree(folder).digest() != before


def test_damaged_members_are_named(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.png", b"0123456789" * 9)
        archive.writestr("list.txt", "x")
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a/1.png: damaged in the archive"):
        open_tree(path).read("a/1.png")


def test_neither_folder_nor_archive(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        open_tree(tmp_path / "nowhere")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        open_tree(tmp_path / "text.zip")


def test_list_that_is_no_text(tmp_path):
    with pytest.raises(DataError, match=r"list.txt: is not UTF-8"):
        open_tree(write_files(tmp_path, {"list.txt": b"\xff\xfe\x00"})).lines("list.txt")


@pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"])
def test_archives_with_unsafe_paths_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("rgb/a.png", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="data.zip: has a file with the unsafe path"):
        open_tree(tmp_path / "data.zip").names()


def test_what_systems_leave_behind_is_no_data(tmp_path):
    litter = {".DS_Store": b"x", "__MACOSX/a/._1.png": b"x", "a/Thumbs.db": b"x"}
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in {**FILES, **litter}.items():
            archive.writestr(name if name.startswith("__") else f"top/{name}", content)
    assert open_tree(tmp_path / "data.zip").names() == sorted(FILES)
    assert open_tree(write_files(tmp_path / "data", {**FILES, **litter})).names() == sorted(FILES)


def test_mutated_archives_are_refused_or_read(tmp_path):
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content * 20)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        data = bytearray(content)
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
        path.write_bytes(data)
        try:
            tree = open_tree(path)
            for name in tree.names():
                tree.read(name)
        except DataError as error:
            assert "data.zip" in str(error)  # noqa: PT017


HOSTILE = ["/etc/x", "../../x", "..", ".", "", "a/b", "a\\b", "~/x", ".hidden", "a\0b", "a\nb", "\x1b[31mred", "C:\\x", "a:b",
           "-rf", "*?", "x" * 5000, "\u4e2d" * 5000, "\U0001f600" * 300, "\ud800", "..\u2025/..", " "]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_becomes_one_plain_part_of_a_path(tmp_path, name):
    plain = as_file_name(name)
    assert plain
    assert plain == as_file_name(plain)
    assert not plain.startswith((".", "-"))
    assert len(plain) <= LONGEST_NAME
    assert Path(plain).name == plain
    for character in plain:
        assert character in "-_." or unicodedata.category(character)[0] in "LN"
    place = tmp_path / f"{plain}-128-0123456789ab.replaced"
    place.mkdir()  # no longer than file systems allow
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


@pytest.mark.parametrize("name", ["rooms", "nyuv2", "my_photos-2.1", "K\u00fcche", "\u5bb6"])
def test_ordinary_names_stay(name):
    assert as_file_name(name) == name


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "a/../../secret.txt"])
def test_a_folder_gives_out_no_files_outside_of_it(tmp_path, name):
    (tmp_path / "secret.txt").write_text("secret")
    tree = open_tree(write_files(tmp_path / "data", {"a/1.png": b"one"}))
    with pytest.raises(DataError, match=r"outside of the folder; correct the list of files"):
        tree.read(name)
    with pytest.raises(DataError, match="cannot be read"):
        tree.read("a\0b")


@pytest.mark.skipif(os.name != "posix", reason="asks for a process by a signal")
def test_drafts_of_processes_that_run_stay(tmp_path):
    result = tmp_path / "a.png"
    running, own, gone = (tmp_path / f".a.png.{number}.tmp" for number in (os.getppid(), os.getpid(), 2**22 + 1))
    for draft in (running, own, gone):
        draft.touch()
    remove_drafts([result])
    assert [*tmp_path.iterdir()] == [running]
