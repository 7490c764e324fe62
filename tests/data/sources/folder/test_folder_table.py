"""labels.csv: one label, several, columns of 0 and 1, parts of the split; and every way to get it wrong."""

import numpy as np
import pytest

from fake_folder import own_files
from fakes import write_files
from mgm.data.sources.folder import FolderSource
from mgm.errors import DataError


def source(folder, text: str, encoding: str = "utf-8", yaml: str = ""):
    files = own_files(4, tasks=("depth",), scenes=False)
    if yaml:
        files["dataset.yaml"] = yaml.encode()
    return FolderSource(write_files(folder, {**files, "labels.csv": text.encode(encoding)}))


def rows(found: FolderSource) -> list[list[float]]:
    return [found.read(index, 4).scene.tolist() for index in range(len(found))]


def test_one_label_each_and_none(tmp_path):
    found = source(tmp_path, "name,label\nphoto_000,a\nphoto_001.jpg,b\nrgb/photo_002.jpg,\n", "utf-8-sig")
    assert (found.info.scenes, found.info.multi_hot) == (("a", "b"), False)
    np.testing.assert_array_equal(rows(found), [[1, 0], [0, 1], [np.nan, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize(
    "text",
    [
        "Name,Labels\nphoto_000,cat;dog\nphoto_001, dog\nphoto_002,cat",
        "file,label_1,label_2\nphoto_000,cat,dog\nphoto_001,dog,\nphoto_002,,cat",
        "image,cat,dog\nphoto_000,1,1\nphoto_001,0,1\nphoto_002,1,\nphoto_003,,",
    ],
)
def test_several_labels(tmp_path, text):
    found = source(tmp_path, text)
    assert (found.info.scenes, found.info.multi_hot) == (("cat", "dog"), True)
    np.testing.assert_array_equal(rows(found), [[1, 1], [0, 1], [1, 0], [np.nan, np.nan]])


def test_flags_know_images_without_any_object(tmp_path):
    found = source(tmp_path, "name,cat,dog\nphoto_000,0,0\nphoto_001,1,0\nphoto_002,0,1")
    np.testing.assert_array_equal(rows(found)[0], [0, 0])


def test_a_single_label_for_all_tells_nothing(tmp_path):
    assert source(tmp_path, "name,label\nphoto_000,a\nphoto_001,a").info.scenes == ()


def test_split_column(tmp_path):
    found = source(tmp_path, "name,split\nphoto_000,test\nphoto_001,VAL\nphoto_002,train\n")
    splits = found.splits("official", 0)
    assert (splits.test.tolist(), splits.validation.tolist(), splits.train.tolist()) == ([0], [1], [2, 3])


TABLE = "name,label,split\r\nphoto_000,a,Test\r\nphoto_001,b,dev\r\nphoto_002,a,training\r\n"


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda text: text.replace(",", ";"), "utf-8-sig"),
        (lambda text: text.replace(",", "\t"), "utf-16"),
        (lambda text: text.replace(",", " | "), "utf-8"),
        (lambda text: "sep=\t\r\n" + text.replace(",", "\t"), "utf-8-sig"),
        (lambda text: '"sep=;"\n' + text.replace(",", ";"), "utf-8"),
        (lambda text: text.replace("\r\n", ";;\r\n").replace(",", ";"), "utf-8"),
        (lambda text: text.replace("name,", "NAME,").replace(",a,", ',"a",'), "utf-8"),
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path, change, encoding):
    found = source(tmp_path, change(TABLE), encoding)
    assert found.info.scenes == ("a", "b")
    splits = found.splits("official", 0)
    assert (splits.test.tolist(), splits.validation.tolist(), splits.train.tolist()) == ([0], [1], [2, 3])


def test_several_labels_in_quotes_between_semicolons(tmp_path):
    found = source(tmp_path, 'name;label\nphoto_000;"cat;dog"\nphoto_001;dog')
    np.testing.assert_array_equal(rows(found)[:2], [[1, 1], [0, 1]])
    with pytest.raises(DataError, match="line 2: has 3 cells.*separate several labels of an image by ; in quotes"):
        source(tmp_path / "b", "name;label\nphoto_000;cat;dog")


@pytest.mark.parametrize("scenes", ["none", "folders"])
def test_settings_turn_scenes_of_the_table_off(tmp_path, scenes):
    found = source(tmp_path, "name,label,age,split\nphoto_000,a,2,test\nphoto_001,b,3,", yaml=f"scenes: {scenes}")
    assert (found.info.scenes, found.warnings()) == ((), ())
    assert found.splits("random", 0).test.tolist() == [0]


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("table: {name: Image, labels: [Scene], group: Scene}", "Image,Scene\nphoto_000,b\nphoto_001,a"),
        ("table: {name: id, labels: [room]}", "id,room,age\nphoto_000,b,3\nphoto_001,a,4"),
        ("table: {split: Part, group: House}", "name,label,Part,House\nphoto_000,b,test,x\nphoto_001,a,,y"),
    ],
)
def test_settings_name_columns_as_the_table_does(tmp_path, yaml, text):
    found = source(tmp_path, text, yaml=yaml)
    assert found.info.scenes == ("a", "b")
    np.testing.assert_array_equal(rows(found)[:2], [[0, 1], [1, 0]])


@pytest.mark.parametrize("setting", ["labels: [Room]", "group: Room", "split: Room", "name: Room"])
def test_a_column_that_the_settings_name_must_exist(tmp_path, setting):
    with pytest.raises(DataError, match=r"labels.csv: has no column 'Room'"):
        source(tmp_path, "name,room\nphoto_000,1", yaml=f"table: {{{setting}}}")
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"labels.csv: missing"):
        FolderSource(tmp_path)


def test_a_list_of_scenes_without_labels_is_no_error(tmp_path):
    write_files(tmp_path, {"scenes.txt": b"a\nb"})
    yaml = "scene_file: scenes.txt"
    assert source(tmp_path, "name,split\nphoto_000,test", yaml=yaml).info.scenes == ()
    with pytest.raises(DataError, match="line 2: label 'c' is not listed in scenes.txt"):
        source(tmp_path, "name,label,label_2\nphoto_000,a,c", yaml=yaml)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("photo,label\nphoto_000,a", "no column 'name'"),
        ("name,label\nphoto_009,a", "line 2: no image is named 'photo_009'"),
        ("name,label\nphoto_000,a\nphoto_000,b", "line 3: .* listed twice"),
        ("name,label\nphoto_000,a,b", "line 2: has 3 cells.* by ; and not by ,"),
        ("name,split\nphoto_000,trial", "split is 'trial'; it must be train"),
        ("name,part\nphoto_000,Test", "line 2: column 'part' holds 'Test'.*name the column 'split'"),
        ("name,cat\nphoto_000,yes", "line 2: column 'cat' holds 'yes'"),
        ("name,cat,cat\nphoto_000,1,1", "two columns have the same name"),
    ],
)
def test_mistakes_are_named_with_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"labels.csv.*{message}"):
        source(tmp_path, text)


def test_no_utf8(tmp_path):
    with pytest.raises(DataError, match="CSV UTF-8"):
        source(tmp_path, "name,label\nphoto_000,küche", "latin-1")


def test_a_single_scene_or_none_is_said_not_to_be_used(tmp_path):
    found = source(tmp_path / "a", "name,label\nphoto_000,a\nphoto_001,a\n")
    assert "labels.csv has only the scene 'a', so its scenes are not used" in found.warnings()[0]
    assert "labels.csv has no scene label at all" in source(tmp_path / "b", "name,label\n").warnings()[0]
    assert source(tmp_path / "c", "name,split\nphoto_000,train\n").warnings() == ()


def test_scenes_that_differ_in_case_are_said(tmp_path):
    found = source(tmp_path, "name,label\nphoto_000,Kitchen\nphoto_001,hall\nphoto_002,kitchen\n")
    assert found.warnings() == ("the scenes 'Kitchen' and 'kitchen' differ only in upper and lower case",)


@pytest.mark.parametrize("before", ["", "sep=,\n"])
def test_an_open_quotation_mark_is_found_where_it_is(tmp_path, before):
    line = 2 + bool(before)
    with pytest.raises(DataError, match=rf"labels.csv, line {line}: a quotation mark .* is opened here"):
        source(tmp_path, f'{before}name,label\n"photo_000,a\nphoto_001,b\nphoto_002,b\n')
