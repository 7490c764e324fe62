"""Taskonomy: three layouts, matching by building, point and view, values, masks, scenes and splits."""

import numpy as np
import pytest

from fake_layouts import BUILDINGS, npy, pickled_npy, write_taskonomy
from fakes import png, write_files
from mgm.data import open_source
from mgm.data.sources.taskonomy import TaskonomySource
from mgm.data.sources.taskonomy_files import TINY
from mgm.data.sources.taskonomy_values import shrink
from mgm.errors import ConfigError, DataError

SIX = ("semantic", "depth", "normal", "edge_texture", "reshading", "principal_curvature")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_taskonomy(tmp_path_factory.mktemp("taskonomy"))


@pytest.fixture
def small(tmp_path):
    return write_taskonomy(tmp_path, buildings=("allensville",), views=2)


@pytest.fixture(params=["current", "mixed", "old"])
def layout(request, tmp_path):
    return write_taskonomy(tmp_path, request.param, buildings=("allensville", "ihlen"), views=2)


def test_every_layout_gives_the_same_samples(layout):
    source = open_source(str(layout))
    assert isinstance(source, TaskonomySource)
    assert source.info.tasks == SIX
    assert [source.read(index, 8).name for index in range(4)] == [
        f"{building}/point_{10 + view}_view_{view}" for building in ("allensville", "ihlen") for view in (0, 1)
    ]
    sample = source.read(1, 64)
    assert sample.image[:, 20, 5].tolist() == [200, 10, 10]
    assert sample.targets["depth"][0, 20, 5] == 3
    assert sample.targets["depth"][0, 20, 60] == 4
    assert set(sample.targets) == set(SIX)


def test_values(folder):
    targets = TaskonomySource(folder).read(0, 64).targets
    left, right = (30, 5), (30, 60)
    for task, there, here in (
        ("depth", [2], [4]),
        ("normal", [1, 0, 0], [0, 0, -1]),
        ("principal_curvature", [0.5, 0.5], [1, 64 / 254]),
        ("reshading", [1], [0.2]),
        ("edge_texture", [0], [2621 / 65535 / 0.08]),
    ):
        np.testing.assert_allclose(targets[task][(slice(None), *left)], there, atol=0.01)
        np.testing.assert_allclose(targets[task][(slice(None), *right)], here, atol=0.01)
        assert targets[task].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(targets["normal"][(slice(None), *left)]), 1, atol=1e-6)
    assert (targets["semantic"][left], targets["semantic"][right], targets["semantic"][60, 60]) == (0, 16, 255)


def test_invalid_pixels(folder):
    # no depth below row 56, mask_valid 0 above row 8, and other tasks of the geometry lose five more rows
    targets = TaskonomySource(folder).read(0, 64).targets
    assert np.isfinite(targets["depth"][0, 8:56]).all()
    assert np.isnan(targets["depth"][0, :8]).all()
    assert np.isnan(targets["depth"][0, 56:]).all()
    for task in ("normal", "reshading", "principal_curvature"):
        assert np.isfinite(targets[task][:, 13:51]).all(), task
        assert np.isnan(targets[task][:, :13]).all(), task
        assert np.isnan(targets[task][:, 51:]).all(), task
    assert np.isfinite(targets["edge_texture"]).all()


def test_one_building_alone_is_named_after_its_folder(tmp_path):
    write_taskonomy(tmp_path, "old", buildings=("cauthron",), views=1)
    source = TaskonomySource(tmp_path / "cauthron")
    assert source.read(0, 8).name == "cauthron/point_10_view_0"
    assert source.info.tasks == SIX


def test_growing_invalid_pixels():
    valid = np.ones((9, 11), bool)
    valid[4, 5] = False
    expected = np.ones((9, 11), bool)
    expected[2:7, 3:8] = False
    np.testing.assert_array_equal(shrink(valid, 2), expected)
    np.testing.assert_array_equal(shrink(valid, 0), valid)


def test_scene_categories_above_the_threshold(folder):
    # twenty views: fifteen of category 12, five of category 7
    assert TaskonomySource(folder).info.scenes == ()
    assert "set min_scene_images lower" in TaskonomySource(folder).info.notes["scene"]
    some = TaskonomySource(folder, min_scene_images=5)
    assert (some.info.scenes, len(some)) == (("places_012",), 15)
    assert "5 images of other categories are left out" in some.info.notes["scene"]
    every = TaskonomySource(folder, min_scene_images=4)
    assert (every.info.scenes, len(every)) == (("places_007", "places_012"), 20)
    assert [every.read(index, 8).scene.tolist() for index in (2, 3)] == [[0, 1], [1, 0]]
    assert every.fingerprint != some.fingerprint


def test_missing_labels_are_invalid_and_counted(small):
    (small / "normal/allensville/point_10_view_0_domain_normal.png").unlink()
    (small / "segment_semantic/allensville/point_10_view_0_domain_segmentsemantic.png").unlink()
    (small / "class_scene/allensville/point_10_view_0_domain_class_places.npy").unlink()
    source = TaskonomySource(small, min_scene_images=0)
    first, second = source.read(0, 16), source.read(1, 16)
    assert np.isnan(first.targets["normal"]).all()
    assert (first.targets["semantic"] == 255).all()
    assert np.isnan(first.scene).all()
    assert np.isfinite(second.targets["normal"]).any()
    assert "1 without semantic, 1 without normal" in source.info.notes["files"]


def test_labels_without_a_picture_are_not_used(small):
    (small / "rgb/allensville/point_10_view_0_domain_rgb.png").unlink()
    source = TaskonomySource(small)
    assert [source.read(0, 8).name] == ["allensville/point_11_view_1"]
    assert "1 views with labels but no picture" in source.info.notes["files"]


def test_euclidean_depth_where_there_is_no_other(small):
    for file in (small / "depth_zbuffer/allensville").iterdir():
        file.unlink()
    source = TaskonomySource(small)
    assert source.read(0, 64).targets["depth"][0, 20, 5] == (1024 + 64) / 512
    assert "Euclidean" in source.info.notes["depth"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("rgb/allensville/point_10_view_0_domain_rgb.png", b"", "the file is empty"),
        ("normal/allensville/point_10_view_0_domain_normal.png", b"\x89PNG broken", "not a readable image"),
        (
            "depth_zbuffer/allensville/point_10_view_0_domain_depth_zbuffer.png",
            png(np.ones((64, 64), np.uint8)),
            "8 bits",
        ),
        ("reshading/allensville/point_10_view_0_domain_reshading.png", png(np.ones((9, 9, 3), np.uint8)), "9 x 9"),
        (
            "segment_semantic/allensville/point_10_view_0_domain_segmentsemantic.png",
            png(np.full((64, 64), 18, np.uint8)),
            "label 18",
        ),
        ("class_scene/allensville/point_10_view_0_domain_class_places.npy", b"\x93NUMPY", "numpy.save"),
        ("class_scene/allensville/point_10_view_0_domain_class_places.npy", pickled_npy(), "numpy.save"),
        ("class_scene/allensville/point_10_view_0_domain_class_places.npy", npy(np.ones(63)), "365 finite scores"),
    ],
)
def test_bad_files_are_reported_when_they_are_read(small, file, content, message):
    (small / file).write_bytes(content)
    source = TaskonomySource(small, min_scene_images=0)  # listing goes on
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        source.read(0, 16)
    source.read(1, 16)


def test_two_files_for_one_label(small):
    write_files(small, {"curvature/allensville/point_10_view_0_domain_curvature.png": b"x"})
    with pytest.raises(DataError, match="is the principal_curvature of the same image as"):
        TaskonomySource(small)


def test_no_pictures(small):
    with pytest.raises(DataError, match="has no image .* of nowhere"):
        TaskonomySource(small, buildings=("nowhere",))


def test_the_paper_s_subset(folder, monkeypatch):
    source = TaskonomySource(folder, buildings=("allensville", "benevolence", "coffeen"))
    assert len(source) == 12
    subset = TaskonomySource(folder).splits("subset", 0)
    everything = np.concatenate([subset.train, subset.validation, subset.test])
    assert sorted(everything) == list(range(12))
    monkeypatch.setenv("MGM_DATA", str(folder.parent))
    (folder.parent / "taskonomy").symlink_to(folder)
    assert len(open_source("taskonomy_small")) == 12
    assert len(open_source("taskonomy")) == 20


def test_tiny_split_keeps_buildings_apart(folder):
    assert [len(TINY[part].split()) for part in ("train", "val", "test")] == [25, 5, 5]
    splits = TaskonomySource(folder).splits("tiny", 0)
    assert [part.tolist() for part in (splits.train // 4, splits.validation // 4, splits.test // 4)] == [
        [0] * 4 + [1] * 4 + [2] * 4,
        [4] * 4,
        [3] * 4,
    ]
    assert sorted(BUILDINGS)[3:] == ["ihlen", "wiconisco"]


def test_splits_from_a_list(folder, tmp_path):
    write_taskonomy(tmp_path, buildings=("a", "b", "c", "d"), views=1)
    listed = "id,train,val,test\na,1,0,0\nB,0,1,0\nc,0,0,1\nother,1,0,0\n"
    write_files(tmp_path, {"train_val_test_medium.csv": listed.encode()})
    splits = TaskonomySource(tmp_path).splits("medium", 0)
    assert [part.tolist() for part in (splits.train, splits.validation, splits.test)] == [[0], [1], [2]]
    with pytest.raises(DataError, match="train_val_test_full.csv"):
        TaskonomySource(tmp_path).splits("full", 0)
    write_files(
        tmp_path,
        {"train_val_test_fullplus.csv": b"id,train\na,1\n", "train_val_test_full.csv": b"id,train,val,test\na,1,1,0\n"},
    )
    with pytest.raises(DataError, match="fullplus.csv: has no column 'test'"):
        TaskonomySource(tmp_path).splits("fullplus", 0)
    with pytest.raises(DataError, match="_full.csv, line 2: the building is in train and val"):
        TaskonomySource(tmp_path).splits("full", 0)


def test_split_without_images_of_a_part(small):
    with pytest.raises(DataError, match="no image of the val buildings"):
        TaskonomySource(small).splits("tiny", 0)


def test_random_split_and_unknown_one(folder):
    splits = TaskonomySource(folder).splits("random", 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (16, 2, 2)
    with pytest.raises(ConfigError, match="Did you mean 'tiny'"):
        TaskonomySource(folder).splits("tinny", 0)
    with pytest.raises(ConfigError, match="at least 0"):
        TaskonomySource(folder, min_scene_images=-1)
