"""Public layouts that are presets of the folder reader: values, splits, and every mistake named with its file."""

import os
from pathlib import Path

import numpy as np
import pytest

from fake_layouts import npy, pickled_npy, write_authors, write_mtan
from fakes import CAMVID_CLASSES, NYUV2_SCENES, png, write_camvid, write_files, write_nyuv2, write_nyuv2_zip
from mgm.data import open_source
from mgm.data.images import read_labels
from mgm.data.sources.folder.presets import open_authors, open_mtan, open_preset
from mgm.errors import ConfigError, DataError
from mgm.types import Frame

REAL = Path(os.environ.get("MGM_DATA", "no"))


def sizes(splits) -> tuple[int, int, int]:
    return len(splits.train), len(splits.validation), len(splits.test)


@pytest.fixture(scope="module")
def nyuv2(tmp_path_factory):
    return open_preset("nyuv2", write_nyuv2(tmp_path_factory.mktemp("nyuv2")))


@pytest.fixture(scope="module")
def mtan(tmp_path_factory):
    return open_mtan(write_mtan(tmp_path_factory.mktemp("mtan")))


@pytest.mark.parametrize(
    ("write", "read"),
    [(write_nyuv2, "nyuv2"), (write_camvid, "camvid"), (write_mtan, "mtan"), (write_authors, "authors")],
)
def test_layouts_are_recognised(tmp_path, write, read):
    source = open_source(str(write(tmp_path)))
    assert source.fingerprint["reader"] == read
    with pytest.raises(ConfigError, match="Choices: "):
        source.splits("offical", 0)


def test_nyuv2_offers_what_the_files_hold(nyuv2):
    assert (len(nyuv2), nyuv2.info.tasks) == (12, ("semantic", "depth", "normal"))
    assert (len(nyuv2.info.classes), nyuv2.info.scenes, nyuv2.info.multi_hot) == (40, NYUV2_SCENES, False)
    sample = nyuv2.read(3, 48)
    assert sample.scene.tolist() == [0, 1, 0]
    assert sample.name == "0005"  # the list has a gap


def test_nyuv2_values(nyuv2):
    targets = nyuv2.read(0, 170).targets
    window = np.s_[18:188, 17:240]
    labels, steps = (read_labels(nyuv2._tree.path / kind / "0001.png")[window] for kind in ("semantic40", "depth"))
    assert 39 in labels
    assert set(np.unique(targets["semantic"])) == set(np.unique(labels)) - {39} | {255}
    np.testing.assert_allclose(targets["depth"][0, :, 0], (steps[:, 0] + 0.5) * 10 / 255, rtol=1e-6)
    np.testing.assert_allclose(targets["normal"][:, 13, 85], [0, 0, -1], atol=0.05)
    np.testing.assert_allclose(targets["normal"][:, 160, 85], [0, -0.8, -0.6], atol=0.05)


def test_nyuv2_frame_is_cut_off(tmp_path):
    folder = write_nyuv2(tmp_path, count=2)
    rgb = np.full((192, 256, 3), 255, np.uint8)
    rgb[18:188, 17:240] = 0
    (folder / "rgb" / "0001.jpg").write_bytes(png(rgb))
    assert open_preset("nyuv2", folder).read(0, 64).image.max() == 0
    archive = open_source(str(write_nyuv2_zip(tmp_path / "square.zip", count=4, side=64, top="nyuv2_128")))
    assert (archive.read(2, 64).targets["semantic"][:, -8:] == 255).all()  # of another size nothing is cut off


def test_nyuv2_splits(nyuv2):
    assert nyuv2.split_kinds == ("random", "scene", "official")
    assert sizes(nyuv2.splits("random", 0)) == (10, 1, 1)
    scenes, official = nyuv2.splits("scene", 0), nyuv2.splits("official", 0)
    parts = [set((part // 2).tolist()) for part in (scenes.train, scenes.validation, scenes.test)]  # two images a scene
    assert sum(map(len, parts)) == len(set.union(*parts)) == 6
    assert official.test.tolist() == [4, 5, 10, 11]
    assert set(official.train // 2).isdisjoint(official.validation // 2)
    assert len(official.train) + len(official.validation) == 8


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("official_split", "split", "no column 'official_split'"),
        ("0002,train", "0002,trial", "line 3"),
        ("bathroom,0", "bath,0", "line 2.*scene_types.txt"),
        ("bathroom,0", ",0", "line 2"),
        ("0002,", "0001,", "twice"),
        ("0002,", "0099,", "line 3: no image"),
        ("0001,train,bathroom_0000,bathroom,0\n", "", "0001.jpg: is not listed in index.csv"),
    ],
)
def test_nyuv2_list_that_contradicts_the_files(tmp_path, old, new, message):
    index = write_nyuv2(tmp_path, count=4) / "index.csv"
    index.write_text(index.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        open_preset("nyuv2", tmp_path)


@pytest.mark.parametrize("file", ["rgb/0002.jpg", "depth/0002.png", "index.csv", "classes40.txt", "scene_types.txt"])
def test_nyuv2_missing_file_is_named(tmp_path, file):
    (write_nyuv2(tmp_path, count=4) / file).unlink()
    name = "0002.*missing|0002.*no image" if "/" in file else f"{file}: missing"
    with pytest.raises(DataError, match=name):
        open_preset("nyuv2", tmp_path).info  # noqa: B018


@pytest.mark.parametrize(
    ("file", "picture", "message"),
    [
        ("semantic40/0001.png", np.full((192, 256), 40, np.uint8), "label 40"),
        ("depth/0001.png", np.zeros((90, 128), np.uint8), "128 x 90 pixels but .*rgb/0001.jpg is 256 x 192"),
        (
            "depth/0001.png",
            np.full((192, 256), 3000, np.uint16),
            "has 16 bits per number, but depth is declared with 'bits: 8'",
        ),
    ],
)
def test_nyuv2_bad_files_are_named(tmp_path, file, picture, message):
    (write_nyuv2(tmp_path, count=4) / file).write_bytes(png(picture))
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        open_preset("nyuv2", tmp_path).read(0, 32)


def test_camvid(tmp_path):
    source = open_preset("camvid", write_camvid(tmp_path))
    assert (len(source), source.info.tasks, source.info.multi_hot) == (11, ("semantic",), True)
    assert source.info.classes == source.info.scenes == CAMVID_CLASSES
    for index, present in ((0, {0, 1, 3}), (1, {0, 1, 4})):
        sample = source.read(index, 32)
        assert set(np.flatnonzero(sample.scene)) == present
        assert set(np.unique(sample.targets["semantic"])) == present | {255}
    assert sample.name == "train/0001TP_000001"
    official = source.splits("official", 0)
    assert [part.tolist() for part in (official.train, official.validation, official.test)] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7],
        [8, 9, 10],
    ]
    assert sizes(source.splits("random", 0)) == (7, 2, 2)


@pytest.mark.parametrize(("first", "seen"), [(9, [9, 0]), (255, None)])
def test_weak_labels_are_the_classes_of_the_full_label_map(tmp_path, first, seen):
    labels = np.full((180, 240), 255 if seen is None else 0, np.uint8)
    labels[0, 0] = first
    (write_camvid(tmp_path) / "train" / "semantic" / "0001TP_000000.png").write_bytes(png(labels))
    sample = open_preset("camvid", tmp_path).read(0, 16)
    assert 9 not in sample.targets["semantic"]
    if seen is None:
        assert np.isnan(sample.scene).all()
    else:
        assert sorted(np.flatnonzero(sample.scene)) == sorted(seen)
        cropped = open_preset("camvid", tmp_path).read(0, Frame((16, 16), "crop"))
        assert np.flatnonzero(cropped.scene).tolist() == [0]  # what is cut off is not in view


def test_camvid_mistakes_are_named(tmp_path):
    folder = write_camvid(tmp_path)
    file = folder / "val" / "semantic" / "0001TP_000006.png"
    file.unlink()
    with pytest.raises(DataError, match=r"val/rgb/0001TP_000006.jpg: its file in semantic/ is missing"):
        open_preset("camvid", folder)
    file.write_bytes(png(np.full((180, 240), 11, np.uint8)))
    with pytest.raises(DataError, match=r"val/semantic/0001TP_000006.png: label 11"):
        open_preset("camvid", folder).read(6, 32)
    for picture in (folder / "test").rglob("*.*"):
        picture.unlink()
    with pytest.raises(DataError, match="no image in the part 'test'"):
        open_preset("camvid", folder)


def test_mtan_nyuv2(mtan):
    assert (len(mtan), mtan.info.name, mtan.info.tasks) == (15, "mtan_nyuv2", ("semantic", "depth", "normal"))
    assert (len(mtan.info.classes), mtan.info.multi_hot) == (13, True)
    sample = mtan.read(2, 24)
    assert sample.image[:, 12, 2].tolist() == [255, 0, 0]
    assert (sample.targets["semantic"][12, 2], sample.targets["semantic"][12, 20]) == (2, 3)
    assert (sample.targets["semantic"][0] == 255).all()
    assert (sample.targets["depth"][0, 1:] == 2.5).all()
    assert sample.targets["normal"][:, 5, 5].tolist() == [0, 0, -1]
    for task in ("depth", "normal"):
        assert np.isnan(sample.targets[task][:, 0]).all()
    assert np.flatnonzero(sample.scene).tolist() == [2, 3]
    assert [mtan.read(index, 4).name for index in (2, 9, 10, 12)] == ["train/2", "train/9", "train/10", "val/0"]
    assert mtan.splits("official", 0).test.tolist() == [12, 13, 14]
    assert sizes(mtan.splits("official", 0)) == (11, 1, 3)
    assert sizes(mtan.splits("random", 0)) == (11, 2, 2)


def test_mtan_cityscapes(tmp_path):
    source = open_mtan(write_mtan(tmp_path, "cityscapes"))
    assert (source.info.name, source.info.tasks) == ("mtan_cityscapes", ("semantic", "depth"))
    assert len(source.info.classes) == 19
    sample = source.read(0, 24)
    np.testing.assert_allclose(sample.targets["depth"][0, 1:], 0.209313 * 2262.52 / 32, rtol=1e-6)
    assert np.isnan(sample.targets["depth"][0, 0]).all()
    assert sample.targets["semantic"][12, 20] == 18
    seven = open_mtan(tmp_path, labels="label_7")
    assert (len(seven.info.classes), seven.read(0, 24).targets["semantic"][12, 20]) == (7, 3)
    assert seven.fingerprint != source.fingerprint
    with pytest.raises(ConfigError, match="label folder 'label_2'"):
        open_mtan(tmp_path, labels="label_2")


@pytest.mark.parametrize("normals", ["nm", "sn"])
@pytest.mark.parametrize("first", [0, 1])
def test_authors(tmp_path, normals, first):
    source = open_authors(write_authors(tmp_path, normals, first))
    assert source.info.tasks == ("semantic", "depth", "normal")
    assert (len(source), source.info.scenes, len(source.info.classes)) == (10, ("bedroom", "kitchen"), 40)
    sample = source.read(5, 24)
    assert sample.name == "kitchen/000"
    assert sample.scene.tolist() == [0, 1]
    assert (sample.targets["semantic"][10, 2], sample.targets["semantic"][10, 20]) == (3, 39)
    assert (sample.targets["semantic"][0] == 255).all()
    assert (sample.targets["depth"][0, :20] == 1.5).all()
    np.testing.assert_allclose(sample.targets["normal"][:, 5, 5], (0, 0, -1), atol=0.01)
    for task in ("depth", "normal"):
        assert np.isnan(sample.targets[task][:, 20:]).all()  # the mask
    assert sizes(source.splits("random", 0)) == (8, 1, 1)
    write_files(tmp_path, {"classes.txt": b"one\ntwo"})
    with pytest.raises(DataError, match=r"ss/bedroom/000.npy: label \d is neither"):
        open_authors(tmp_path).read(0, 8)


@pytest.mark.parametrize(
    ("write", "files", "read"),
    [
        (lambda folder: write_mtan(folder, counts=(2, 1)), "train/{}/0.npy label depth normal", open_mtan),
        (lambda folder: write_authors(folder, per_scene=2), "{}/bedroom/000.* ss de nm", open_authors),
    ],
)
def test_missing_labels_are_never_replaced_by_the_next_ones(tmp_path, write, files, read):
    folder = write(tmp_path)
    pattern, *kinds = files.split()
    for kind in kinds:
        next(folder.glob(pattern.format(kind))).unlink()
    source = read(folder)
    first, second = source.read(0, 8), source.read(1, 24)
    assert (first.targets["semantic"] == 255).all()
    for task in ("depth", "normal"):
        assert np.isnan(first.targets[task]).all()
        assert np.isfinite(second.targets[task]).any()
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
        ("train/depth/0.npy", npy(np.arange(24 * 32 * 2.0).reshape(24, 32, 2)), "H x W"),
        ("train/depth/0.npy", npy(np.ones((12, 32, 1))), "32 x 12"),
        ("train/normal/0.npy", npy(np.ones((24, 32, 3)))[:200], "numpy.save"),
        ("rgb/bedroom/000.jpg", b"\xff\xd8", "not a readable image"),
        ("ss/bedroom/000.npy", npy(np.full((24, 32), 41)), "label 41"),
        ("de/bedroom/000.npy", npy(np.zeros(5)), "not H x W"),
        ("nm/bedroom/000.png", b"", "empty"),
        ("msk/bedroom/000.png", png(np.zeros((10, 17), np.uint8)), "17 x 10"),
    ],
)
def test_bad_arrays_are_named_and_others_still_read(tmp_path, file, content, message):
    folder = write_mtan(tmp_path, counts=(2, 1)) if "/0.npy" in file else write_authors(tmp_path, per_scene=2)
    (folder / file).write_bytes(content)
    source = open_source(str(folder))
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        source.read(0, 16)
    source.read(1, 16)


@pytest.mark.skipif(not (REAL / "nyuv2_small").is_dir(), reason="the real NYUv2 files are not in $MGM_DATA")
def test_real_nyuv2():
    source, archive = open_source(str(REAL / "nyuv2_small")), open_source(str(REAL / "nyuv2_128.zip"))
    assert (len(source), len(source.info.scenes)) == (1349, 27)
    for kind, wanted in (("random", (1049, 150, 150)), ("scene", (1049, 150, 150)), ("official", (645, 150, 554))):
        assert sizes(source.splits(kind, 0)) == wanted
    for index in (0, 700, 1348):
        one, other = source.read(index, 128), archive.read(index, 128)
        for task in ("semantic", "depth"):
            np.testing.assert_array_equal(one.targets[task], other.targets[task])
        assert np.abs(one.image.astype(int) - other.image).mean() < 4  # the archive's are compressed once more


@pytest.mark.skipif(not (REAL / "camvid").is_dir(), reason="the real CamVid files are not in $MGM_DATA")
def test_real_camvid():
    source = open_source(str(REAL / "camvid"))
    assert sizes(source.splits("official", 0)) == (367, 101, 233)
    assert source.read(400, 64).scene[3] == 1  # a road, as nearly always
