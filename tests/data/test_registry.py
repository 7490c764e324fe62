"""Data sets by name and by path."""

import subprocess
import sys

import pytest

from fakes import write_camvid, write_files, write_nyuv2, write_nyuv2_zip
from mgm.data import DATASETS, open_photographs, open_source
from mgm.errors import ConfigError, DataError


def test_every_entry_is_described():
    for name, entry in DATASETS.items():
        assert entry.description, name
        assert bool(entry.layout) == bool(entry.instructions), name


def reader(name_or_path) -> object:
    return open_source(str(name_or_path)).fingerprint["reader"]


def test_paths_are_recognised_by_their_content(tmp_path):
    assert reader(write_nyuv2(tmp_path / "some", count=2)) == "nyuv2"
    assert reader(write_nyuv2_zip(tmp_path / "file.zip", count=2, side=32, top="x")) == "nyuv2"
    assert reader(write_camvid(tmp_path / "other")) == "camvid"


def test_a_folder_of_ones_own_with_the_layout_of_camvid_is_none(tmp_path):
    folder = write_camvid(tmp_path / "own", counts=(8, 2, 3))
    for file in folder.rglob("0001TP_*"):
        file.rename(file.with_name(file.name.replace("0001TP", "photo")))
    write_files(folder, {"labels.csv": b"name,label\nphoto_000000,a\nphoto_000001,b"})
    source = open_source(str(folder))
    assert (source.info.name, source.info.scenes) == ("own", ("a", "b"))
    assert [source.splits("random", seed).test.tolist() for seed in range(2)] == [[10, 11, 12]] * 2


def test_built_in_names_are_looked_for_in_one_place(tmp_path, monkeypatch):
    monkeypatch.setenv("MGM_DATA", str(tmp_path))
    write_camvid(tmp_path / "camvid")
    write_nyuv2_zip(tmp_path / "nyuv2.zip", count=2, side=32)
    assert (reader("camvid"), reader("nyuv2")) == ("camvid", "nyuv2")


@pytest.mark.parametrize("name", ["nyuv2", "camvid"])
def test_absent_data_come_with_instructions(name, tmp_path, monkeypatch):
    monkeypatch.delenv("MGM_DATA", raising=False)
    with pytest.raises(DataError, match=f"MGM_DATA is not set.*MGM_DATA/{name}"):
        open_source(name)
    monkeypatch.setenv("MGM_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"not in {tmp_path}/{name} or"):
        open_source(name)


def test_unknown_layout_lists_the_known(tmp_path):
    write_files(tmp_path / "photos", {"a.jpg": b"x"})
    with pytest.raises(DataError, match=r"(?s)photos.*nyuv2: .*camvid: "):
        open_source(str(tmp_path / "photos"))


def test_mistyped_name_and_path(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'nyuv2'"):
        open_source("nyu2")
    with pytest.raises(DataError, match="does not exist"):
        open_source(str(tmp_path / "nowhere"))
    for opened in (open_source, open_photographs):
        with pytest.raises(DataError, match=r"~nobody_here/photos: does not exist"):
            opened("~nobody_here/photos")


def test_a_folder_may_be_named_like_a_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_camvid(tmp_path / "~nobody_here")
    assert reader("~nobody_here") == "camvid"


def test_rooms_of_any_number():
    assert len(open_source("rooms", 7)) == 7
    assert len(open_source("rooms")) == 2000


def test_listing_imports_neither_numpy_nor_torch():
    code = "import sys, mgm.data; assert not {'numpy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
