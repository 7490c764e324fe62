"""NYUv2: decoding, pairing by name, splits; on fakes in the real layout, and on the real files where they are."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fakes import NYUV2_SCENES, png, write_nyuv2, write_nyuv2_zip
from mgm.data.images import read_labels
from mgm.data.nyuv2 import NYUv2Source, decode_normals
from mgm.errors import ConfigError, DataError

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "nyuv2_small").is_dir(), reason="the real NYUv2 files are not here")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_nyuv2(tmp_path_factory.mktemp("nyuv2"))


@pytest.fixture
def broken(tmp_path):
    return write_nyuv2(tmp_path, count=4)


def test_offers_what_the_files_hold(folder):
    source = NYUv2Source(folder)
    assert len(source) == 12
    assert source.info.tasks == ("semantic", "depth", "normal")
    assert len(source.info.classes) == 40
    assert source.info.scenes == NYUV2_SCENES
    assert not source.info.multi_hot


@pytest.mark.parametrize("size", [32, 48, 224])
def test_sample_contract(folder, size):
    sample = NYUv2Source(folder).read(3, size)
    assert (sample.image.dtype, sample.image.shape) == (np.uint8, (3, size, size))
    semantic, depth, normal = (sample.targets[task] for task in ("semantic", "depth", "normal"))
    assert (semantic.dtype, semantic.shape) == (np.uint8, (size, size))
    assert (depth.dtype, depth.shape) == (np.float32, (1, size, size))
    assert (normal.dtype, normal.shape) == (np.float32, (3, size, size))
    np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1, atol=1e-5)
    assert sample.scene.tolist() == [0, 1, 0]
    assert sample.name == "0005"  # the fake list has a gap


def test_class_39_is_ignored_and_others_keep_their_number(folder):
    labels = read_labels(folder / "semantic40" / "0001.png")
    assert 39 in labels[18:188, 17:240]
    semantic = NYUv2Source(folder).read(0, 128).targets["semantic"]
    assert 39 not in semantic
    assert set(np.unique(semantic)) == set(np.unique(labels[18:188, 17:240])) - {39} | {255}


def test_depth_is_in_metres_at_the_middle_of_a_step(folder):
    depth = NYUv2Source(folder).read(0, 170).targets["depth"]
    values = read_labels(folder / "depth" / "0001.png")[18:188, 17:240]
    np.testing.assert_allclose(depth[0, :, 0], (values[:, 0] + 0.5) * 10 / 255, rtol=1e-6)


def test_normals_point_as_written(folder):
    normal = NYUv2Source(folder).read(0, 64).targets["normal"]
    np.testing.assert_allclose(normal[:, 5, 32], [0, 0, -1], atol=0.05)
    np.testing.assert_allclose(normal[:, 60, 32], [0, -0.8, -0.6], atol=0.05)


def test_picture_without_direction_has_no_normal():
    picture = np.array([[[127, 128, 128], [255, 128, 128]]], np.uint8)
    normal = decode_normals(picture)
    assert np.isnan(normal[:, 0, 0]).all()
    np.testing.assert_allclose(normal[:, 0, 1], [1, 0, 0], atol=0.01)


def test_only_the_valid_region_of_the_large_layout_is_read(tmp_path):
    folder = write_nyuv2(tmp_path, count=2)
    rgb = np.full((192, 256, 3), 255, np.uint8)
    rgb[18:188, 17:240] = 0
    (folder / "rgb" / "0001.jpg").write_bytes(png(rgb))
    assert NYUv2Source(folder).read(0, 64).image.max() == 0


def test_archive_is_read_whole_without_extraction(tmp_path):
    path = write_nyuv2_zip(tmp_path / "nyuv2_128.zip", count=4, side=64, top="nyuv2_128")
    source = NYUv2Source(path)
    sample = source.read(2, 64)
    np.testing.assert_array_equal((sample.targets["semantic"][:, -8:]), 255)  # the fake's right border survives
    assert [file.name for file in tmp_path.iterdir()] == ["nyuv2_128.zip"]
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read(2, 64).image, sample.image)


def test_fingerprint_follows_the_files(broken):
    before = NYUv2Source(broken).fingerprint
    assert NYUv2Source(broken).fingerprint == before
    (broken / "depth" / "0001.png").write_bytes(png(np.zeros((192, 256), np.uint8)))
    assert NYUv2Source(broken).fingerprint != before


def test_random_split_is_a_partition(folder):
    splits = NYUv2Source(folder).splits("random", 0)
    assert sorted(np.concatenate([splits.train, splits.validation, splits.test])) == list(range(12))
    assert len(splits.validation) == len(splits.test) == 1


def test_scene_split_keeps_scenes_together(folder):
    splits = NYUv2Source(folder).splits("scene", 0)
    parts = [set((part // 2).tolist()) for part in (splits.train, splits.validation, splits.test)]  # two images a scene
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6


def test_official_split_takes_validation_from_the_training_part(folder):
    splits = NYUv2Source(folder).splits("official", 0)
    assert splits.test.tolist() == [4, 5, 10, 11]
    assert set(splits.train // 2).isdisjoint(splits.validation // 2)
    assert len(splits.train) + len(splits.validation) == 8


def test_unknown_split(folder):
    with pytest.raises(ConfigError, match="official, random, scene"):
        NYUv2Source(folder).splits("offical", 0)


@pytest.mark.parametrize("file", ["rgb/0002.jpg", "depth/0002.png", "semantic40/0002.png", "normal/0002.jpg"])
def test_missing_partner_is_named(broken, file):
    (broken / file).unlink()
    with pytest.raises(DataError, match=f"{file}: missing"):
        NYUv2Source(broken)


def test_unlisted_file_is_named(broken):
    (broken / "depth" / "0099.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"0099.png: not listed in index.csv"):
        NYUv2Source(broken)


@pytest.mark.parametrize("name", ["index.csv", "classes40.txt", "scene_types.txt"])
def test_missing_list_is_named(broken, name):
    (broken / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing"):
        NYUv2Source(broken)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("official_split", "split", "no column 'official_split'"),
        ("0002,train", "0002,training", "line 3"),
        ("bathroom,0", "bathroom,3", "line 2"),
        ("bathroom,0", "bathroom,", "line 2"),
        ("0002,", "0001,", "twice"),
    ],
)
def test_contradictory_list(broken, old, new, message):
    index = broken / "index.csv"
    index.write_text(index.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=f"index.csv.*{message}"):
        NYUv2Source(broken)


def test_list_with_a_short_line(broken):
    index = broken / "index.csv"
    index.write_text(index.read_text() + "0100\n")
    with pytest.raises(DataError, match=r"index.csv, line 6"):
        NYUv2Source(broken)


def test_bad_label_is_named(broken):
    labels = np.full((192, 256), 40, np.uint8)
    (broken / "semantic40" / "0001.png").write_bytes(png(labels))
    with pytest.raises(DataError, match=r"semantic40/0001.png: label 40"):
        NYUv2Source(broken).read(0, 32)


def test_other_size_is_named(broken):
    (broken / "depth" / "0001.png").write_bytes(png(np.zeros((96, 128), np.uint8)))
    with pytest.raises(DataError, match=r"depth/0001.png is 128 x 96 pixels but .*rgb/0001.jpg is 256 x 192"):
        NYUv2Source(broken).read(0, 32)


def test_depth_in_millimetres_is_refused(broken):
    (broken / "depth" / "0001.png").write_bytes(png(np.full((192, 256), 3000, np.uint16)))
    with pytest.raises(DataError, match=r"depth/0001.png: depth of more than 8 bits"):
        NYUv2Source(broken).read(0, 32)


def test_cut_picture_is_named(broken):
    picture = broken / "rgb" / "0001.jpg"
    picture.write_bytes(picture.read_bytes()[:800])
    with pytest.raises(DataError, match=r"rgb/0001.jpg: is damaged or cut short"):
        NYUv2Source(broken).read(0, 32)


@pytest.fixture(scope="module")
def real():
    return NYUv2Source(REAL / "nyuv2_small")


@needs_real
class TestRealFiles:
    """Facts of the README beside the data."""

    def test_counts_and_splits(self, real):
        assert len(real) == 1349
        assert len(real.info.scenes) == 27
        for kind in ("random", "scene"):
            splits = real.splits(kind, 0)
            assert (len(splits.train), len(splits.validation), len(splits.test)) == (1049, 150, 150)
        official = real.splits("official", 0)
        assert (len(official.train), len(official.validation), len(official.test)) == (645, 150, 554)

    def test_normals_are_unit_length_and_face_the_camera(self, real):
        # the ray through a pixel of the 256 x 192 picture: intrinsics of the 640 x 480 camera over 2.5
        for index in (0, 500, 1300):
            normal = real.read(index, 128).targets["normal"].astype(np.float64)
            np.testing.assert_allclose(np.linalg.norm(normal, axis=0), 1, atol=1e-4)
            middles = (np.arange(128) + 0.5) / 128
            columns, rows = 17 + 223 * middles, 18 + 170 * middles
            x, y = np.meshgrid((columns - 325.6 / 2.5) / 207.5, (rows - 253.7 / 2.5) / 207.8)
            assert (normal[0] * x + normal[1] * y + normal[2] < 0.05).mean() > 0.99

    def test_archive_holds_the_same_labels(self, real):
        small = NYUv2Source(REAL / "nyuv2_128.zip")
        assert len(small) == len(real)
        for index in (0, 700, 1348):
            one, other = real.read(index, 128), small.read(index, 128)
            assert one.name == other.name
            for task in ("semantic", "depth"):
                np.testing.assert_array_equal(one.targets[task], other.targets[task])
            assert np.abs(one.image.astype(int) - other.image).mean() < 4  # the archive's are compressed once more
            cosine = (one.targets["normal"] * other.targets["normal"]).sum(axis=0)
            assert np.degrees(np.arccos(cosine.clip(-1, 1))).mean() < 4
            np.testing.assert_array_equal(one.scene, other.scene)
