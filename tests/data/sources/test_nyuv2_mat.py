"""NYUv2 as given out: axes and mirroring, mappings, scenes, normals, splits, and files that are missing or wrong."""

import shutil
import sys

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from fake_layouts import write_nyuv2_mat
from mgm.data import open_source
from mgm.data.sources.nyuv2_mat import NYUv2MatSource
from mgm.data.sources.nyuv2_tables import TO_13
from mgm.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_nyuv2_mat(tmp_path_factory.mktemp("mat"))


@pytest.fixture
def broken(tmp_path):
    return write_nyuv2_mat(tmp_path, count=2)


def alter(folder, name, change):
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "r+") as file:
        change(file, name)


def test_picture_is_upright_and_not_mirrored(folder):
    sample = NYUv2MatSource(folder).read(1, 64)
    left_top, left_bottom, right = np.s_[:, 2:30, 2:30], np.s_[:, 34:62, 2:30], np.s_[:, 2:62, 34:62]
    for place, colour in ((left_top, (200, 0, 0)), (left_bottom, (0, 200, 0)), (right, (0, 0, 200))):
        assert (sample.image[place] == np.reshape(colour, (3, 1, 1))).all()
    for place, metres in ((left_top, 2), (left_bottom, 3), (right, 5)):
        assert (sample.targets["depth"][place] == metres).all()
    for place, label in ((left_top, 0), (left_bottom, 39), (right, 4)):
        assert (sample.targets["semantic"][place[1:]] == label).all()


def test_sample_contract(folder):
    source = NYUv2MatSource(folder)
    sample = source.read(0, 32)
    assert len(source) == 6
    assert (sample.image.dtype, sample.image.shape) == (np.uint8, (3, 32, 32))
    assert {task: (array.dtype.name, array.shape) for task, array in sample.targets.items()} == {
        "semantic": ("uint8", (32, 32)),
        "depth": ("float32", (1, 32, 32)),
        "normal": ("float32", (3, 32, 32)),
    }
    assert sample.name == "0001"
    assert source.info.classes[0] == "name 1"


def test_unlabelled_is_ignored(folder):
    assert 255 in NYUv2MatSource(folder).read(0, 213).targets["semantic"][-1]


def test_thirteen_classes(folder, tmp_path):
    source = NYUv2MatSource(folder, num_classes=13)
    semantic = source.read(0, 64).targets["semantic"]
    assert (semantic[10, 10], semantic[50, 10], semantic[10, 50]) == (TO_13[0] - 1, TO_13[39] - 1, TO_13[4] - 1)
    assert source.info.classes[semantic[10, 10]] == "wall"
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    own = np.array([[5] * 40], np.uint8)
    savemat(tmp_path / "class13Mapping.mat", {"classMapping13": {"labels13": own, "class13": ["x"]}})
    assert set(np.unique(NYUv2MatSource(tmp_path, num_classes=13).read(0, 64).targets["semantic"])) <= {4, 255}
    with pytest.raises(ConfigError, match="40 or 13"):
        NYUv2MatSource(folder, num_classes=14)


def test_scene_types(folder):
    source = NYUv2MatSource(folder)
    assert source.info.scenes == ("bedroom", "excercise_room", "kitchen")
    assert [int(source.read(index, 8).scene.argmax()) for index in range(6)] == [0, 0, 2, 2, 1, 1]


def test_derived_normals_face_the_camera(folder):
    source = NYUv2MatSource(folder)
    normal = source.read(0, 32).targets["normal"]
    np.testing.assert_allclose(normal[:, 8, 8], (0, 0, -1), atol=1e-4)
    assert "derived" in source.info.notes["normal"]


def test_published_normals_are_read_where_they_are(tmp_path):
    folder = write_nyuv2_mat(tmp_path, count=2, normals=True)
    source = NYUv2MatSource(folder)
    normal = source.read(0, 64).targets["normal"]
    np.testing.assert_allclose(normal[:, 10, 10], (1, 0, 0), atol=0.01)
    np.testing.assert_allclose(normal[:, 10, 50], (0, -1, 0), atol=0.01)
    assert np.isnan(normal[:, 50, 10]).all()
    assert "published" in source.info.notes["normal"]
    (folder / "normals_gt" / "normals" / "0001.png").unlink()
    assert np.isnan(NYUv2MatSource(folder).read(1, 16).targets["normal"]).all()


def test_opened_by_folder_file_and_name(folder, monkeypatch, tmp_path):
    for path in (folder, folder / "nyu_depth_v2_labeled.mat"):
        assert isinstance(open_source(str(path)), NYUv2MatSource)
    (tmp_path / "nyuv2_mat").symlink_to(folder)
    monkeypatch.setenv("MGM_DATA", str(tmp_path))
    assert len(open_source("nyuv2_mat13").info.classes) == 13
    assert len(open_source("nyuv2_mat").info.classes) == 40


def test_splits(folder):
    source = NYUv2MatSource(folder)
    splits = source.splits("random", 0)
    assert sorted(np.concatenate([splits.train, splits.validation, splits.test])) == list(range(6))
    official = source.splits("official", 0)
    assert official.test.tolist() == [4, 5]
    assert set(official.train // 2).isdisjoint(official.validation // 2)
    scenes = source.splits("scene", 0)
    assert set(scenes.train // 2).isdisjoint(scenes.test // 2)
    with pytest.raises(ConfigError, match="official, random, scene"):
        source.splits("offical", 0)


def test_the_paper_s_sizes(folder):
    source = NYUv2MatSource(folder)
    source._file.count = 1449
    splits = source.splits("random", 3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1049, 200, 200)


def test_missing_companions(broken):
    (broken / "splits.mat").unlink()
    source = NYUv2MatSource(broken)
    assert "splits.mat is missing" in source.info.notes["split"]
    with pytest.raises(DataError, match="splits.mat: missing"):
        source.splits("official", 0)
    (broken / "classMapping40.mat").unlink()
    with pytest.raises(DataError, match="classMapping40.mat: missing"):
        NYUv2MatSource(broken)
    (broken / "nyu_depth_v2_labeled.mat").unlink()
    with pytest.raises(DataError, match="nyu_depth_v2_labeled.mat: missing"):
        NYUv2MatSource(broken)


def test_split_list_of_another_set(broken):
    savemat(broken / "splits.mat", {"trainNdxs": np.array([[1], [9]]), "testNdxs": np.array([[2]])})
    with pytest.raises(DataError, match="splits.mat: lists an image twice or beyond the 2"):
        NYUv2MatSource(broken).splits("official", 0)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file, not HDF5" * 9, "cut"])
def test_not_hdf5(broken, content):
    file = broken / "nyu_depth_v2_labeled.mat"
    file.write_bytes(file.read_bytes()[:4000] if content == "cut" else content)
    with pytest.raises(DataError, match="nyu_depth_v2_labeled.mat: is not an HDF5 file"):
        NYUv2MatSource(broken)


@pytest.mark.parametrize("name", ["classMapping40.mat", "splits.mat", "class13Mapping.mat"])
def test_tables_that_are_no_matlab_files(broken, name):
    (broken / name).write_bytes(b"this is no MATLAB file" * 20)
    with pytest.raises(DataError, match=f"{name}: is not a readable MATLAB 5 file"):
        NYUv2MatSource(broken, num_classes=13).splits("official", 0)


@pytest.mark.parametrize("name", ["classMapping40.mat", "splits.mat", "class13Mapping.mat"])
def test_tables_of_something_else(broken, name):
    savemat(broken / name, {"other": np.ones(3)})
    with pytest.raises(DataError, match=f"{name}: has no"):
        NYUv2MatSource(broken, num_classes=13).splits("official", 0)


def test_missing_variable_and_uneven_lengths(broken):
    alter(broken, "depths", lambda file, name: file.move(name, "others"))
    with pytest.raises(DataError, match="has no variable 'depths'"):
        NYUv2MatSource(broken)
    alter(broken, "depths", lambda file, name: file.create_dataset(name, data=file["others"][:1]))
    with pytest.raises(DataError, match="differ in length"):
        NYUv2MatSource(broken)


def test_cells_that_are_no_strings(broken):
    def change(file, name):
        del file[name]
        file[name] = np.zeros((1, 2))

    alter(broken, "sceneTypes", change)
    with pytest.raises(DataError, match="sceneTypes cannot be read"):
        NYUv2MatSource(broken)


def test_raw_class_beyond_the_table(broken):
    def change(file, name):
        file[name][0, 100, 100] = 895

    alter(broken, "labels", change)
    with pytest.raises(DataError, match="image 1: raw class 895"):
        NYUv2MatSource(broken).read(0, 16)


def test_archive_is_refused(tmp_path):
    with pytest.raises(DataError, match="unpack it"):
        NYUv2MatSource(tmp_path / "nyu.zip")


def test_absent_package_is_named(broken, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"pip install 'mgm\[nyuv2\]'"):
        NYUv2MatSource(broken)
