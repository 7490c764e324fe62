"""What a run knows of its images, and what it says of data that have changed since."""

import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from fake_folder import own_files, palette_png, write_own
from fake_runs import begin_run
from fakes import write_files
from mgm.data import open_source
from mgm.data.sources.folder import FolderSource
from mgm.data.store import build_store
from mgm.errors import DataError
from mgm.method.recipes import make_experiment
from mgm.runs.data import load_data
from mgm.runs.folder import RunFolder
from mgm.runs.images import RunImages, open_run_data, unique_names, with_classes_of
from mgm.types import DatasetInfo
from toys import with_settings


def begun(tmp_path: Path, data: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    begin_run(folder, make_experiment("mt", "tiny", str(data)), open_source(str(data)).info)
    return folder


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_own(tmp_path / "photos", 12)


@pytest.fixture
def run(tmp_path, photos) -> RunFolder:
    return begun(tmp_path, photos)


def more(photos: Path, count: int = 18) -> None:
    """Further pictures, numbered on; the table of scenes grows with them."""
    write_files(photos, own_files(count))


def scored(run: RunFolder) -> set[str]:
    data = open_run_data(run)
    return {data.store.names[int(index)] for index in data.splits.test}


def test_unchanged_data_have_the_splits_of_the_run(run, photos):
    data = open_run_data(run)
    assert data.changes == ""
    made = FolderSource(photos).splits("random", 0)
    for part in ("train", "validation", "test"):
        assert np.array_equal(getattr(data.splits, part), getattr(made, part))
    data.check_unchanged()


def copied(photos: Path, copy: str, of: str) -> None:
    for kind, ending in (("rgb", "jpg"), ("semantic", "png")):
        shutil.copy(photos / kind / f"{of}.{ending}", photos / kind / f"{copy}.{ending}")


def test_random_splits_keep_copies_in_one_part(photos):
    for index in range(0, 12, 2):
        copied(photos, f"photo_{index:03d}", f"photo_{index + 1:03d}")
    experiment = make_experiment("mt", "tiny", str(photos))
    for seed in range(4):
        data = load_data(with_settings(experiment, split_seed=seed), torch.device("cpu"))
        digests = data.reader.store.digests
        parts = [set(digests[part]) for part in (data.splits.train, data.splits.validation, data.splits.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == 6


def test_where_all_pictures_are_alike_the_split_stays_and_is_said(photos, caplog):
    for index in range(1, 12):
        copied(photos, f"photo_{index:03d}", "photo_000")
    data = load_data(make_experiment("mt", "tiny", str(photos)), torch.device("cpu"))
    assert all(len(part) for part in (data.splits.train, data.splits.validation, data.splits.test))
    assert "1 different images are too few" in caplog.text
    assert "test scores are of pictures that were trained on" in caplog.text


def test_copies_in_given_parts_are_named_and_never_scored(tmp_path, photos, caplog):
    rows = [f"photo_{index:03d},{part}" for index, part in enumerate(["train"] * 6 + ["val"] * 3 + ["test"] * 3)]
    (photos / "labels.csv").write_text("\n".join(["name,split", *rows]))
    copied(photos, "photo_009", "photo_002")
    copied(photos, "photo_010", "photo_007")
    copied(photos, "photo_008", "photo_001")
    experiment = with_settings(make_experiment("mt", "tiny", str(photos)), split="official")
    data = load_data(experiment, torch.device("cpu"))
    assert data.splits.test.tolist() == [11]
    assert "2 test image(s) are exact copies of others that the run sees (photo_009 = photo_002)" in caplog.text
    assert "1 validation image(s) are exact copies of others that the run sees (photo_008 = photo_001)" in caplog.text
    folder = RunFolder(tmp_path / "run")
    begin_run(folder, experiment, data.info)
    assert scored(folder) == {"photo_011"}
    copied(photos, "photo_011", "photo_000")
    with pytest.raises(DataError, match="3 test image.*no other is left"):
        load_data(experiment, torch.device("cpu"))


def test_new_pictures_are_named_and_belong_to_no_part(run, photos):
    before = RunImages.read(run.images)
    more(photos)
    data = open_run_data(run)
    assert "6 images are new: photo_012, photo_013, photo_014, ..." in data.changes
    assert scored(run) == set(before.test)
    every = np.concatenate([data.splits.train, data.splits.validation, data.splits.test])
    assert len(every) == 12
    with pytest.raises(
        DataError, match=r"cannot be continued: photos has changed since it was begun .6 images are new"
    ):
        data.check_unchanged()


def test_pictures_that_went_are_named_and_others_keep_their_part(run, photos):
    gone, *kept = RunImages.read(run.images).test
    for file in [*photos.rglob(f"{gone}.*")]:
        file.unlink()
    table = photos / "labels.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(keepends=True) if gone not in line))
    assert f"1 image is gone: {gone}" in open_run_data(run).changes
    assert scored(run) == set(kept)


def test_a_test_picture_that_has_become_one_of_training_is_not_scored(run, photos):
    images = RunImages.read(run.images)
    copied, *kept = images.test
    shutil.copy(photos / f"rgb/{next(iter(images.labelled))}.jpg", photos / f"rgb/{copied}.jpg")
    assert f"1 image is changed: {copied}" in open_run_data(run).changes
    assert scored(run) == set(kept)


CLASS = {"semantic/photo_001.png": palette_png(np.full((30, 40), 3, np.uint8))}


@pytest.mark.parametrize(
    "files, says",
    [
        ({"semantic/photo_001.png": palette_png(np.zeros((30, 40), np.uint8))}, "labels of semantic"),
        ({"labels.csv": own_files(12)["labels.csv"].replace(b"003,kitchen", b"003,hall")}, "other scene labels"),
        ({"dataset.yaml": b"split: {test: 0.3}"}, "other splits"),
        (CLASS, "classes new: class_3"),
    ],
)
def test_other_labels_scenes_and_settings_are_changes(run, photos, files, says):
    write_files(photos, files)
    changes = open_run_data(run).changes
    assert says in changes
    assert "images are" not in changes


def test_numbers_read_in_another_unit_are_said_beside_changed_images(run, photos):
    (photos / "dataset.yaml").write_text("depth: {unit: cm}\n")
    shutil.copy(photos / "rgb/photo_001.jpg", photos / "rgb/photo_000.jpg")
    assert open_run_data(run).changes == "1 image is changed: photo_000; other labels of depth"


def test_classes_of_other_names_are_refused_with_the_reason(run, photos):
    count = len(run.info().classes)
    (photos / "classes.txt").write_text("".join(f"kind {index}\n" for index in range(count)))
    with pytest.raises(
        DataError, match=r"changed since the run was begun \(photos has other classes than .*kind 0, kind 1"
    ):
        _ = open_run_data(run).info


def test_labels_that_mean_something_else_are_refused(run, photos):
    write_files(photos, CLASS)
    with pytest.raises(DataError, match=r"photos has changed since the run was begun \(classes new: class_3.*learned"):
        _ = open_run_data(run).info


def test_a_store_that_was_replaced_is_a_change(tmp_path, photos):
    build_store(FolderSource(photos), 32, tmp_path / "store", workers=1)
    run = begun(tmp_path, tmp_path / "store")
    more(photos)
    build_store(FolderSource(photos), 32, tmp_path / "store", workers=1, replace=True)
    assert "6 images are new" in open_run_data(run).changes


def test_touching_or_moving_files_changes_nothing(run, photos, tmp_path):
    for file in photos.rglob("*.jpg"):
        file.touch()
    assert open_run_data(run).changes == ""
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match=r"the data of .*run cannot be opened: .*photos: does not exist.*give their new path"
    ):
        open_run_data(run)


def test_what_a_run_has_seen_is_known_under_any_name(run, photos, tmp_path):
    other = tmp_path / "other"
    for kind in ("rgb", "semantic"):
        (other / kind).mkdir(parents=True)
        for file in (photos / kind).iterdir():
            shutil.copy(file, other / kind / f"renamed-{file.name}")
    store = build_store(FolderSource(other), 32, tmp_path / "others", workers=1)
    images = RunImages.read(run.images)
    unseen = {store.names[index] for index in images.unseen(store)}
    assert unseen == {f"renamed-{name}" for name in images.test}


def test_names_that_occur_twice_are_told_apart():
    assert unique_names(Mock(names=("a", "b", "a", "a"))) == ["a", "b", "a#2", "a#3"]


LEARNED = DatasetInfo("photos", ("semantic",), ("wall", "floor", "lamp"))


def test_data_that_lack_the_last_classes_have_those_that_were_learned():
    fewer = replace(LEARNED, classes=("wall", "floor"))
    assert with_classes_of(fewer, LEARNED).classes == LEARNED.classes
    assert with_classes_of(replace(LEARNED, classes=()), LEARNED).classes == LEARNED.classes


@pytest.mark.parametrize(
    "classes, says",
    [
        (("wall", "lamp"), "use data with the same classes"),
        (("wall", "floor", "lamp", "chair"), r"\(chair it did not learn\)"),
        (("class_0", "class_1"), r"in classes.txt \(wall, floor, lamp, ...\)"),
    ],
)
def test_other_classes_are_refused_with_a_remedy(classes, says):
    with pytest.raises(Exception, match=says):
        with_classes_of(replace(LEARNED, classes=classes), LEARNED)
