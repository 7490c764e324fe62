"""MTAN's arrays of NYUv2 and Cityscapes: values, label folders, pairing by number, wrong files."""

import pickle

import numpy as np
import pytest

from fake_layouts import npy, pickled_npy, write_mtan
from mgm.data import open_source
from mgm.data.mtan import CITYSCAPES_FOCAL_M_PX, MtanSource
from mgm.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def nyuv2(tmp_path_factory):
    return write_mtan(tmp_path_factory.mktemp("mtan_nyuv2"))


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return write_mtan(tmp_path_factory.mktemp("mtan_streets"), "cityscapes")


@pytest.fixture
def broken(tmp_path):
    return write_mtan(tmp_path, counts=(2, 1))


def test_nyuv2_form(nyuv2):
    source = open_source(str(nyuv2))
    assert isinstance(source, MtanSource)
    assert (len(source), source.info.name) == (15, "mtan_nyuv2")
    assert source.info.tasks == ("semantic", "depth", "normal")
    assert (len(source.info.classes), source.info.multi_hot) == (13, True)
    sample = source.read(2, 24)
    assert sample.name == "train/2"
    assert sample.image[:, 12, 2].tolist() == [255, 0, 0]
    assert (sample.targets["semantic"][12, 2], sample.targets["semantic"][12, 20]) == (2, 3)
    assert (sample.targets["semantic"][0] == 255).all()
    assert (sample.targets["depth"][0, 1:] == 2.5).all()
    assert np.isnan(sample.targets["depth"][0, 0]).all()
    assert sample.targets["normal"][:, 5, 5].tolist() == [0, 0, -1]
    assert np.isnan(sample.targets["normal"][:, 0]).all()
    assert np.flatnonzero(sample.scene).tolist() == [2, 3]


def test_numbers_are_not_sorted_as_text(nyuv2):
    source = MtanSource(nyuv2)
    assert [source.read(index, 4).name for index in (2, 9, 10, 12)] == ["train/2", "train/9", "train/10", "val/0"]


def test_cityscapes_form(streets):
    source = MtanSource(streets)
    assert (source.info.name, source.info.tasks, len(source.info.classes)) == (
        "mtan_cityscapes",
        ("semantic", "depth"),
        19,
    )
    sample = source.read(0, 24)
    np.testing.assert_allclose(sample.targets["depth"][0, 1:], CITYSCAPES_FOCAL_M_PX / 32, rtol=1e-6)
    assert np.isnan(sample.targets["depth"][0, 0]).all()
    assert sample.targets["semantic"][12, 20] == 18
    seven = MtanSource(streets, labels="label_7")
    assert (len(seven.info.classes), seven.read(0, 24).targets["semantic"][12, 20]) == (7, 3)
    assert seven.fingerprint != source.fingerprint
    with pytest.raises(ConfigError, match="label folder 'label_2'"):
        MtanSource(streets, labels="label_2")


def test_splits(nyuv2):
    source = MtanSource(nyuv2)
    official = source.splits("official", 0)
    assert official.test.tolist() == [12, 13, 14]
    assert (len(official.train), len(official.validation)) == (11, 1)
    random = source.splits("random", 0)
    assert (len(random.train), len(random.validation), len(random.test)) == (11, 2, 2)
    with pytest.raises(ConfigError, match="official, random"):
        source.splits("scene", 0)


def test_official_split_needs_both_parts(tmp_path):
    with pytest.raises(DataError, match="needs images in train and in val"):
        MtanSource(write_mtan(tmp_path, counts=(2, 0))).splits("official", 0)


def test_missing_labels_are_never_replaced_by_the_next_ones(broken):
    for name in ("label", "depth", "normal"):
        (broken / f"train/{name}/0.npy").unlink()
    source = MtanSource(broken)
    first, second = source.read(0, 8), source.read(1, 24)
    assert (first.targets["semantic"] == 255).all()
    assert np.isnan(first.targets["depth"]).all()
    assert np.isnan(first.targets["normal"]).all()
    assert np.isnan(first.scene).all()
    assert second.targets["semantic"][12, 2] == 1
    assert "1 without semantic, 1 without depth, 1 without normal" in source.info.notes["files"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train/image/0.npy", b"", "empty"),
        ("train/image/0.npy", pickled_npy(), "numpy.save"),
        ("train/image/0.npy", npy(np.full((24, 32, 3), 200.0)), r"lie in \[0, 1\]"),
        ("train/image/0.npy", npy(np.zeros((24, 32))), "not H x W x 3"),
        ("train/label/0.npy", npy(np.full((24, 32), 13.0)), "label 13"),
        ("train/label/0.npy", npy(np.full((24, 32), 1.5)), "label 1.5"),
        ("train/label/0.npy", pickled_npy(), "numpy.save"),
        ("train/depth/0.npy", npy(np.ones((24, 32, 2))), "not H x W"),
        ("train/depth/0.npy", npy(np.ones((12, 32, 1))), "32 x 12"),
        ("train/normal/0.npy", npy(np.ones((24, 32, 3)))[:200], "numpy.save"),
    ],
)
def test_bad_arrays_are_named(broken, file, content, message):
    (broken / file).write_bytes(content)
    source = MtanSource(broken)
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        source.read(0, 16)
    source.read(1, 16)


def test_pictures_of_bytes_are_taken_as_they_are(broken):
    (broken / "train/image/0.npy").write_bytes(npy(np.full((24, 32, 3), 200, np.uint8)))
    assert (MtanSource(broken).read(0, 8).image == 200).all()


def test_no_images(tmp_path):
    with pytest.raises(DataError, match="holds no array"):
        MtanSource(tmp_path)


def test_mtan_source_can_be_pickled(nyuv2):
    source = MtanSource(nyuv2)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read(4, 16).image, source.read(4, 16).image)
