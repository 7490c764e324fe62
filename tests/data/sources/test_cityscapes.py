"""Cityscapes: label tables, depth from disparity, cities, multi-hot labels, missing and wrong files."""

import numpy as np
import pytest

from fake_layouts import write_cityscapes
from fakes import png
from mgm.data import open_source
from mgm.data.sources.cityscapes import LABELS, OBJECT_IDS, TRAIN_IDS, CityscapesSource
from mgm.errors import ConfigError, DataError

FRAME = "train/zurich/zurich_000000_000019"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_cityscapes(tmp_path_factory.mktemp("cityscapes"))


@pytest.fixture
def zurich(tmp_path):
    return write_cityscapes(tmp_path, {"train/zurich": 3})


def test_tables():
    assert (len(LABELS), len(TRAIN_IDS), len(OBJECT_IDS)) == (34, 19, 30)
    assert [LABELS[number] for number in (TRAIN_IDS[0], TRAIN_IDS[10], TRAIN_IDS[18])] == ["road", "sky", "bicycle"]
    assert (LABELS[OBJECT_IDS[0]], LABELS[OBJECT_IDS[-1]]) == ("static", "bicycle")


def test_offers(folder):
    source = open_source(str(folder))
    assert isinstance(source, CityscapesSource)
    assert len(source) == 13  # the test part has no labels
    assert source.info.tasks == ("semantic", "depth")
    assert (len(source.info.classes), len(source.info.scenes), source.info.multi_hot) == (19, 30, True)


def test_values(zurich):
    sample = CityscapesSource(zurich).read(0, 64)
    semantic, depth = sample.targets["semantic"], sample.targets["depth"]
    assert (semantic[20, 10], semantic[20, 50], semantic[2, 1], semantic[60, 10]) == (0, 10, 255, 255)
    np.testing.assert_allclose(depth[0, :, :32], 0.2 * 2240 / 32)
    assert np.isnan(depth[0, :, 32:]).all()
    assert sample.name == "zurich_000000_000019_leftImg8bit"
    assert sample.image[0, 20, 10] == 7


def test_thirty_classes(zurich):
    source = CityscapesSource(zurich, num_classes=30)
    semantic = source.read(0, 64).targets["semantic"]
    assert (semantic[20, 10], semantic[20, 50], semantic[2, 1], semantic[60, 10]) == (3, 19, 5, 255)
    assert source.info.classes == source.info.scenes
    with pytest.raises(ConfigError, match="19 or 30"):
        CityscapesSource(zurich, num_classes=34)


def test_weak_labels_are_the_ids_in_view(zurich):
    source = CityscapesSource(zurich)
    for index, ids in ((0, {7, 9, 23}), (1, {7, 23, 33})):
        assert {OBJECT_IDS[place] for place in np.flatnonzero(source.read(index, 8).scene)} == ids


def test_one_city(folder, monkeypatch, tmp_path):
    by_option = CityscapesSource(folder, cities=("zurich",))
    by_path = open_source(str(folder / "leftImg8bit" / "train" / "zurich"))
    (tmp_path / "cityscapes").symlink_to(folder)
    monkeypatch.setenv("MGM_DATA", str(tmp_path))
    by_name = open_source("cityscapes_zurich")
    for source in (by_option, by_path, by_name):
        assert (len(source), source.info.name) == (4, "cityscapes_zurich")
        assert "depth" in source.read(0, 8).targets
    assert len(open_source("cityscapes")) == 13
    assert by_option.fingerprint != CityscapesSource(folder).fingerprint
    with pytest.raises(DataError, match="no image of atlantis"):
        CityscapesSource(folder, cities=("atlantis",))


def test_splits(folder):
    source = CityscapesSource(folder)
    official = source.splits("official", 0)
    assert official.test.tolist() == [10, 11, 12]
    cities = np.array([0] * 3 + [1] * 3 + [2] * 4 + [3] * 3)
    assert set(cities[official.train]).isdisjoint(cities[official.validation])
    by_city = source.splits("city", 0)
    assert set(cities[by_city.train]).isdisjoint(cities[by_city.test])
    random = CityscapesSource(folder, cities=("zurich",)).splits("random", 0)
    assert (len(random.train), len(random.validation), len(random.test)) == (2, 1, 1)
    with pytest.raises(DataError, match="needs images in train and in val"):
        CityscapesSource(folder, cities=("zurich",)).splits("official", 0)
    with pytest.raises(ConfigError, match="city, official, random"):
        source.splits("scene", 0)


def test_missing_partners(zurich):
    (zurich / f"gtFine/{FRAME}_gtFine_labelIds.png").unlink()
    (zurich / f"camera/{FRAME}_camera.json").unlink()
    source = CityscapesSource(zurich)
    first, second = source.read(0, 8), source.read(1, 8)
    assert (first.targets["semantic"] == 255).all()
    assert np.isnan(first.targets["depth"]).all()
    assert np.isnan(first.scene).all()
    assert np.isfinite(second.targets["depth"]).any()
    assert "1 without labels, 1 without camera" in source.info.notes["files"]


def test_without_disparity_there_is_no_depth(zurich):
    for file in (zurich / "disparity/train/zurich").iterdir():
        file.unlink()
    source = CityscapesSource(zurich)
    assert source.info.tasks == ("semantic",)
    assert set(source.read(0, 8).targets) == {"semantic"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (f"leftImg8bit/{FRAME}_leftImg8bit.png", b"\x89PNG", "not a readable image"),
        (f"gtFine/{FRAME}_gtFine_labelIds.png", png(np.full((64, 128), 34, np.uint8)), "label 34"),
        (f"gtFine/{FRAME}_gtFine_labelIds.png", png(np.zeros((32, 64), np.uint8)), "64 x 32"),
        (f"disparity/{FRAME}_disparity.png", png(np.zeros((64, 128), np.uint8)), "8 bits"),
        (f"camera/{FRAME}_camera.json", b"{", "extrinsic.baseline"),
        (f"camera/{FRAME}_camera.json", b"[1, 2]", "extrinsic.baseline"),
        (f"camera/{FRAME}_camera.json", b'{"extrinsic": {"baseline": 0}, "intrinsic": {"fx": 1}}', "positive"),
    ],
)
def test_bad_files_are_named(zurich, file, content, message):
    (zurich / file).write_bytes(content)
    source = CityscapesSource(zurich)
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        source.read(0, 16)
    source.read(1, 16)


def test_small_disparities_are_invalid(zurich):
    picture = np.full((64, 128), 256, np.uint16)
    picture[:, 64:] = 257
    (zurich / f"disparity/{FRAME}_disparity.png").write_bytes(png(picture))
    depth = CityscapesSource(zurich).read(0, 64).targets["depth"]
    assert np.isnan(depth[0, :, :32]).all()
    np.testing.assert_allclose(depth[0, :, 32:], 448)
