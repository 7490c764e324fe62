"""Inspecting: what is counted, what is suspected, and that bad files do not stop it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fake_folder import npy, picture_arrays, write_own
from fakes import FakeSource, png
from mgm.data.sources.folder import FolderSource
from mgm.errors import ConfigError, DataError
from mgm.report.dataset_statistics import DatasetStatistics
from mgm.report.inspect import inspect_source
from mgm.types import DatasetInfo


@pytest.fixture
def inspect(tmp_path):
    def run(source, size=16, num_shown=4, **changes) -> str:
        return "\n".join(inspect_source(source, tmp_path / "sheet.png", size=size, num_shown=num_shown, **changes))

    return run


def test_counts_by_part_scene_and_class(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 12)
    (folder / "depth" / "photo_001.png").unlink()
    text = inspect(FolderSource(folder))
    assert "12 images; tasks semantic, depth, normal; 3 classes" in text
    assert "split random, seed 0: 8 train, 2 validation, 2 test" in text
    assert "depth: 11 of 12 images labelled" in text
    assert "values 1." in text
    assert "scene kitchen: 4 images" in text
    assert "class class_1: " in text
    assert "in 12 images" in text
    assert "nothing suspicious" in text
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 300


def test_bad_files_are_listed_and_left_out(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 12)
    (folder / "rgb" / "photo_002.jpg").write_bytes(b"")
    text = inspect(FolderSource(folder), num_shown=12)
    assert "BAD: 1 samples cannot be used" in text
    assert "rgb/photo_002.jpg: the file is empty" in text
    assert "semantic: 11 of 11 images labelled" in text


def test_only_bad_files(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 3)
    for file in (folder / "rgb").iterdir():
        file.write_bytes(b"x")
    with pytest.raises(DataError, match="none of the samples"):
        inspect(FolderSource(folder))


def test_same_image_in_two_parts(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 12)
    splits = FolderSource(folder).splits("random", 0)
    first, second = (f"photo_{indices[0]:03d}.jpg" for indices in (splits.train, splits.test))
    (folder / "rgb" / second).write_bytes((folder / "rgb" / first).read_bytes())
    text = inspect(FolderSource(folder))
    assert re.search(r"SUSPICIOUS: same image in two subsets of the split; .* \(1\)", text)
    assert first.removesuffix(".jpg") in text.rpartition("SUSPICIOUS")[2]


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        ("depth", np.linspace(500, 4000, 1200).reshape(30, 40), "is it in millimetres"),
        ("depth", np.linspace(0.001, 0.004, 1200).reshape(30, 40), "is it in metres"),
        ("depth", np.full((30, 40), 2.0), "depth is the same everywhere"),
        ("normal", picture_arrays(0)["normal"] * 0.7, "not of unit length"),
        ("normal", -picture_arrays(0)["normal"], "face away"),
    ],
)
def test_suspicions(inspect, tmp_path, task, values, message):
    folder = write_own(tmp_path / "photos", 6, tasks=("semantic",))
    (folder / task).mkdir()
    for index in range(6):
        (folder / task / f"photo_{index:03d}.npy").write_bytes(npy(values))
    text = inspect(FolderSource(folder))
    assert "SUSPICIOUS" in text
    assert message in text


def test_images_of_one_colour_and_classes_that_never_occur(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 6)
    (folder / "dataset.yaml").write_text("classes: [a, b, c, unicorn]")
    (folder / "rgb" / "photo_000.jpg").write_bytes(png(np.zeros((30, 40, 3), np.uint8)))
    text = inspect(FolderSource(folder))
    assert "image has only one colour (1)" in text
    assert "class never occurs (1)\n  unicorn" in text


def test_what_nothing_can_be_learned_of_and_files_that_are_not_read(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 6, tasks=("semantic",))
    (folder / "classes.txt").write_text("ground\nobject\n")
    (folder / "rgb/more.heic").write_bytes(b"x")
    for index in range(6):
        marked = np.where(picture_arrays(index)["semantic"] == 1, 255, 0).astype(np.uint8)
        (folder / f"semantic/photo_{index:03d}.png").write_bytes(png(marked))
        (folder / f"rgb/photo_{index:03d}.jpg").write_bytes(png(np.full((30, 40), index, np.uint8)))
    text = inspect(FolderSource(folder))
    assert "SUSPICIOUS: not read: rgb/ (1 .heic)" in text
    assert "only one class occurs, so there is nothing to learn; 255 means no class" in text
    assert (
        "image is nearly black (with 16 bits, 65535 is white, unless rgb declares a range) (6)" in text
        or "image has only one colour" in text
    )
    assert "nothing suspicious" not in text


def test_classes_that_compression_made_up(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 6, tasks=("semantic",))
    labels = picture_arrays(1)["semantic"].copy()
    labels[20, 20] = 3
    (folder / "semantic/photo_001.png").write_bytes(png(labels))
    assert "class has hardly any pixels" in inspect(FolderSource(folder), size=40)


def test_stored_normals_and_negative_depth_are_suspected_in_any_source():
    info = DatasetInfo("x", ("depth", "normal", "reshading"))
    statistics = DatasetStatistics(info)
    sample = FakeSource().read(0, 8)
    targets = {
        "depth": np.linspace(-1, 3, 64, dtype=np.float32).reshape(1, 8, 8),
        "normal": np.full((3, 8, 8), 0.9, np.float32),
        "reshading": np.linspace(0, 2, 64, dtype=np.float32).reshape(1, 8, 8),
    }
    statistics.add(replace(sample, targets=targets, scene=np.zeros(0, np.float32)), "train")
    assert set(statistics.suspicious) >= {
        "depth is negative",
        "normals are not of unit length",
        "reshading leaves 0..1",
    }


def test_some_of_many(inspect):
    assert "read 10 of them" in inspect(FakeSource(count=70), most=10)


def test_settings_that_cannot_be(inspect):
    with pytest.raises(ConfigError, match="--num"):
        inspect(FakeSource(), num_shown=0)


def test_what_the_reader_remarks_is_said_once_for_each_file(inspect, tmp_path):
    folder = write_own(tmp_path / "photos", 3, tasks=("depth",))
    depth = np.tile(np.linspace(500, 4000, 40).astype(np.uint16), (30, 1))
    depth[:5] = 65535
    for number in range(3):
        (folder / f"depth/photo_{number:03d}.png").write_bytes(png(depth))
    text = inspect(FolderSource(folder), num_shown=1)
    assert [text.count(f"photo_{number:03d}.png: 17 % of the pixels have the number 65535") for number in range(3)] == [
        1
    ] * 3
