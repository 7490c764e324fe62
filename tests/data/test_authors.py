"""The layout of the authors' public code: pairing by scene and name, first class, masks, wrong files."""

import pickle

import numpy as np
import pytest

from fake_layouts import npy, pickled_npy, write_authors
from fakes import png, write_files
from mgm.data import open_source
from mgm.data.authors import AuthorsSource
from mgm.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_authors(tmp_path_factory.mktemp("authors"))


@pytest.fixture
def broken(tmp_path):
    return write_authors(tmp_path, per_scene=2)


@pytest.mark.parametrize("normals", ["nm", "sn"])
@pytest.mark.parametrize("first", [0, 1])
def test_values(tmp_path, normals, first):
    source = open_source(str(write_authors(tmp_path, normals, first, per_scene=1)))
    assert isinstance(source, AuthorsSource)
    assert source.info.tasks == ("semantic", "depth", "normal")
    assert (len(source), source.info.scenes, len(source.info.classes)) == (2, ("bedroom", "kitchen"), 40)
    sample = source.read(1, 24)
    assert sample.name == "kitchen/000"
    assert sample.scene.tolist() == [0, 1]
    assert (sample.targets["semantic"][10, 2], sample.targets["semantic"][10, 20]) == (3, 39)
    assert (sample.targets["semantic"][0] == 255).all()
    assert (sample.targets["depth"][0, :20] == 1.5).all()
    np.testing.assert_allclose(sample.targets["normal"][:, 5, 5], (0, 0, -1), atol=0.01)
    for task in ("depth", "normal"):
        assert np.isnan(sample.targets[task][:, 20:]).all()


def test_missing_labels_are_never_replaced_by_the_next_ones(broken):
    for file in ("ss/bedroom/000.npy", "de/bedroom/000.npy", "nm/bedroom/000.png", "msk/bedroom/001.png"):
        (broken / file).unlink()
    source = AuthorsSource(broken)
    first, second = source.read(0, 24), source.read(1, 24)
    assert (first.targets["semantic"] == 255).all()
    assert np.isnan(first.targets["depth"]).all()
    assert np.isnan(first.targets["normal"]).all()
    assert (second.targets["depth"] == 2.5).all()
    assert "1 without semantic, 1 without depth, 1 without normal" in source.info.notes["files"]


def test_own_class_names(broken):
    write_files(broken, {"classes.txt": "\n".join(f"thing {index}" for index in range(41)).encode()})
    source = AuthorsSource(broken)
    assert source.info.classes[40] == "thing 40"
    write_files(broken, {"classes.txt": b"one\ntwo"})
    with pytest.raises(DataError, match="label 3 is no class"):
        AuthorsSource(broken).read(0, 8)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("rgb/bedroom/000.jpg", b"\xff\xd8", "no picture"),
        ("ss/bedroom/000.npy", pickled_npy(), "numpy.save"),
        ("ss/bedroom/000.npy", npy(np.full((24, 32), 41)), "label 41"),
        ("ss/bedroom/000.npy", npy(np.zeros((12, 16))), "16 x 12"),
        ("de/bedroom/000.npy", pickled_npy(), "numpy.save"),
        ("de/bedroom/000.npy", npy(np.zeros(5)), "not H x W"),
        ("nm/bedroom/000.png", b"", "empty"),
        ("msk/bedroom/000.png", png(np.zeros((12, 16), np.uint8)), "16 x 12"),
    ],
)
def test_bad_files_are_named(broken, file, content, message):
    (broken / file).write_bytes(content)
    source = AuthorsSource(broken)
    with pytest.raises(DataError, match=f"{file}.*{message}"):
        source.read(0, 16)
    source.read(1, 16)


def test_two_files_for_one_image(broken):
    write_files(broken, {"rgb/bedroom/000.png": b"x"})
    with pytest.raises(DataError, match=r"000.png: belongs to the same image as rgb/bedroom/000.jpg"):
        AuthorsSource(broken)


def test_no_pictures(tmp_path):
    with pytest.raises(DataError, match="holds no picture"):
        AuthorsSource(tmp_path)


def test_splits(folder):
    splits = AuthorsSource(folder).splits("random", 0)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (8, 1, 1)
    with pytest.raises(ConfigError, match="Choices: random"):
        AuthorsSource(folder).splits("official", 0)


def test_authors_source_can_be_pickled(folder):
    source = AuthorsSource(folder)
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read(4, 16).image, source.read(4, 16).image)
    assert copy.fingerprint == source.fingerprint
