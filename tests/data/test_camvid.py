"""CamVid: multi-hot weak labels, official and random split; on fakes, and on the real files where they are."""

from pathlib import Path

import numpy as np
import pytest

from fakes import CAMVID_CLASSES, png, write_camvid
from mgm.data.camvid import CamVidSource
from mgm.errors import ConfigError, DataError

REAL = Path(__file__).parents[3] / "shared" / "data" / "camvid"


@pytest.fixture
def folder(tmp_path):
    return write_camvid(tmp_path)


def test_offers_segmentation_with_the_classes_as_weak_labels(folder):
    source = CamVidSource(folder)
    assert len(source) == 11
    assert source.info.tasks == ("semantic",)
    assert source.info.classes == source.info.scenes == CAMVID_CLASSES
    assert source.info.multi_hot


def test_sample(folder):
    source = CamVidSource(folder)
    for index, present in ((0, {0, 1, 3}), (1, {0, 1, 4})):
        sample = source.read(index, 32)
        assert sample.image.shape == (3, 32, 32)
        assert set(np.flatnonzero(sample.scene)) == present
        assert set(np.unique(sample.targets["semantic"])) == present | {255}
        assert sample.scene.dtype == np.float32
    assert source.read(1, 32).name == "train/0001TP_000001"


def test_small_objects_count_for_the_weak_label_even_if_resampling_loses_them(folder):
    labels = np.zeros((180, 240), np.uint8)
    labels[0, 0] = 9
    (folder / "train" / "semantic" / "0001TP_000000.png").write_bytes(png(labels))
    sample = CamVidSource(folder).read(0, 16)
    assert 9 not in sample.targets["semantic"]
    assert sample.scene[9] == 1


def test_unlabelled_image_has_no_weak_label(folder):
    labels = np.full((180, 240), 255, np.uint8)
    (folder / "train" / "semantic" / "0001TP_000000.png").write_bytes(png(labels))
    assert np.isnan(CamVidSource(folder).read(0, 16).scene).all()


def test_splits(folder):
    source = CamVidSource(folder)
    official = source.splits("official", 0)
    assert (official.train.tolist(), official.validation.tolist(), official.test.tolist()) == (
        [0, 1, 2, 3, 4, 5],
        [6, 7],
        [8, 9, 10],
    )
    random = source.splits("random", 0)
    assert sorted(np.concatenate([random.train, random.validation, random.test])) == list(range(11))
    assert len(random.validation) == len(random.test) == 2
    with pytest.raises(ConfigError, match="official, random"):
        source.splits("scene", 0)


def test_broken_files_are_named(folder):
    (folder / "val" / "semantic" / "0001TP_000006.png").unlink()
    with pytest.raises(DataError, match=r"val/rgb/0001TP_000006: has no partner in val/semantic"):
        CamVidSource(folder)
    (folder / "val" / "semantic" / "0001TP_000006.png").write_bytes(png(np.full((180, 240), 11, np.uint8)))
    with pytest.raises(DataError, match=r"val/semantic/0001TP_000006.png: label 11"):
        CamVidSource(folder).read(6, 32)
    (folder / "classes.txt").write_text("")
    with pytest.raises(DataError, match=r"classes.txt"):
        CamVidSource(folder)


def test_missing_part_is_named(folder):
    for file in (folder / "test").rglob("*.*"):
        file.unlink()
    with pytest.raises(DataError, match=r"test/rgb: holds no .jpg"):
        CamVidSource(folder)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real CamVid files are not here")
def test_real_files():
    source = CamVidSource(REAL)
    official = source.splits("official", 0)
    assert (len(official.train), len(official.validation), len(official.test)) == (367, 101, 233)
    sample = source.read(400, 64)
    assert sample.scene[3] == 1  # a road, as nearly always
    assert set(np.unique(sample.targets["semantic"])) <= {*range(11), 255}
