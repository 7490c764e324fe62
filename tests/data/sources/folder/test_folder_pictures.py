"""Folders as people have them: links, other names and cases, splits of their own, files that nobody reads."""

import os
import re

import numpy as np
import pytest

from fake_folder import picture_arrays, write_own
from fakes import png, write_files
from mgm.data import open_source
from mgm.data.sources.folder import FolderSource
from mgm.errors import DataError

RGB = png(picture_arrays(1)["rgb"])
LABELS = png(picture_arrays(1)["semantic"])


def warnings(folder) -> str:
    return " | ".join(FolderSource(folder).warnings())


def test_an_ordinary_folder_has_no_warning(tmp_path):
    assert warnings(write_own(tmp_path)) == ""
    write_files(tmp_path, {"README.md": b"x", "LICENSE": b"x", ".DS_Store": b"x", "classes.txt": b"a\nb\nc\n"})
    assert warnings(tmp_path) == ""


@pytest.mark.parametrize(
    "parts, layout",
    [
        ("Train Val Test", "{part}/{kind}/{name}"),
        ("training validation testing", "{kind}/{part}/{name}"),
        ("TRAIN Dev TESTING", "{kind}/hall/{part}/{name}"),
        ("train valid test", "{kind}/{part}/{name}"),
    ],
)
def test_a_split_of_ones_own_is_taken_as_it_is(tmp_path, parts, layout):
    parts = parts.split()
    for number in range(6):
        for kind, content in (("rgb", RGB), ("semantic", LABELS)):
            name = layout.format(part=parts[number % 3], kind=kind, name=f"{number}.png")
            write_files(tmp_path, {name: content})
    source = open_source(str(tmp_path))
    assert (source.split_kinds, source.info.scenes) == (("random", "official"), ())
    splits = source.splits("official", 0)
    names = [
        {source.read(int(index), 8).name[-1] for index in part}
        for part in (splits.train, splits.validation, splits.test)
    ]
    assert names == [{"0", "3"}, {"1", "4"}, {"2", "5"}]
    assert source.splits("random", 0).test.tolist() == splits.test.tolist()


def test_scenes_that_are_called_like_folds_are_named(tmp_path):
    files = {f"{kind}/{scene}/{number}.png": content for scene in ("fold_0", "fold_1") for number in range(3)
             for kind, content in (("rgb", RGB), ("semantic", LABELS))}  # fmt: skip
    assert "fold_0/, fold_1/ ... are read as scenes; if they are none" in warnings(write_files(tmp_path, files))


def test_scenes_that_are_called_like_parts_are_named(tmp_path):
    files = {f"{kind}/{scene}/{number}.png": content for scene in ("train_images", "test_images") for number in range(3)
             for kind, content in (("rgb", RGB), ("semantic", LABELS))}  # fmt: skip
    assert "test_images/, train_images/ are read as scenes; if they are a split" in warnings(
        write_files(tmp_path, files)
    )
    more = {"rgb/train_station/1.png": RGB, "rgb/hall/1.png": RGB, "semantic/hall/1.png": LABELS}
    assert warnings(write_files(tmp_path / "stations", more)) == ""


def test_folders_of_kinds_may_be_in_capitals_and_labels_without_parts(tmp_path):
    files = {"RGB/train/a.png": RGB, "RGB/test/b.JPG": RGB, "Semantic/a.PNG": LABELS, "Semantic/b.png": LABELS}
    source = open_source(str(write_files(tmp_path, files)))
    assert (len(source), source.info.tasks, source.warnings()) == (2, ("semantic",), ())


def test_linked_folders_are_folders(tmp_path):
    whole = write_own(tmp_path / "disk", 4)
    linked = tmp_path / "linked"
    (linked / "rgb").mkdir(parents=True)
    for kind in ("semantic", "depth", "normal"):
        (linked / kind).symlink_to(whole / kind, target_is_directory=True)
    (linked / "rgb/room").symlink_to(whole / "rgb", target_is_directory=True)
    (linked / "rgb/again").symlink_to(linked, target_is_directory=True)  # leads back up
    source = FolderSource(linked)
    assert (len(source), source.info.tasks) == (4, ("semantic", "depth", "normal"))
    assert source.warnings() == ()


def test_links_to_nothing_and_closed_folders_are_not_passed_over(tmp_path):
    folder = write_own(tmp_path / "photos", 4)
    (folder / "depth/photo_000.png").unlink()
    (folder / "depth/photo_000.png").symlink_to(tmp_path / "gone.png")
    source = FolderSource(folder)
    assert source.fingerprint
    with pytest.raises(DataError, match=r"depth/photo_000.png: missing"):
        source.read(0, 8)
    (folder / "rgb/closed").mkdir(mode=0)
    if not os.access(folder / "rgb/closed", os.R_OK):  # the superuser may
        with pytest.raises(DataError, match="rgb/closed: cannot be listed"):
            FolderSource(folder)


def test_what_is_not_read_is_listed(tmp_path):
    folder = write_own(tmp_path, 3, tasks=("semantic",))
    odd = {
        "depths/1.png": b"x",
        "depths/2.exr": b"x",
        "rgb/p.heic": b"x",
        "train/images/1.png": b"x",
        "Labels.xlsx": b"x",
    }
    said = warnings(write_files(folder, odd))
    for part in (
        "depths/ (1 .png, 1 .exr)",
        "rgb/ (1 .heic)",
        "train/images/ (1 .png)",
        "Labels.xlsx",
        "'depth: {folder: depths}'",
    ):
        assert part in said


def test_masks_are_no_label_maps_unless_the_settings_say_so(tmp_path):
    folder = write_own(tmp_path, 3, tasks=("depth",))
    write_files(folder, {f"mask/photo_00{number}.png": LABELS for number in range(3)})
    assert "'semantic: {folder: mask}'" in warnings(folder)
    write_files(folder, {"dataset.yaml": b"semantic: {folder: mask}"})
    assert FolderSource(folder).info.tasks == ("semantic", "depth")


@pytest.mark.parametrize(
    "pictures, masks", [("images", "masks"), ("imgs", "labels"), ("JPEGImages", "SegmentationClass")]
)
def test_usual_names_are_answered_by_the_setting(tmp_path, pictures, masks):
    write_files(tmp_path, {f"{pictures}/1.png": RGB, f"{masks}/1.png": LABELS})
    keys = f"'rgb: {{folder: {pictures}}}', 'semantic: {{folder: {masks}}}'"
    with pytest.raises(DataError, match="the layout is not recognised.*" + keys):
        open_source(str(tmp_path))
    write_files(tmp_path, {"dataset.yaml": b"name: mine"})
    with pytest.raises(DataError, match="has no images below rgb/.*" + keys):
        open_source(str(tmp_path))
    write_files(tmp_path, {"dataset.yaml": keys.replace("'", "").replace("}, s", "}\ns").encode()})
    assert open_source(str(tmp_path)).info.tasks == ("semantic",)


def test_a_folder_around_the_folder_is_named(tmp_path):
    write_own(tmp_path / "outer/photos", 2)
    with pytest.raises(DataError, match="outer/photos has a folder rgb/: give that path"):
        open_source(str(tmp_path / "outer"))


def test_labels_of_fewer_pixels_are_scaled_and_that_is_said(tmp_path):
    folder = write_own(tmp_path, 3, tasks=("semantic",))
    depth = np.array([[1000, 2000, 3000, 4000]] * 3, np.uint16)
    write_files(folder, {f"depth/photo_00{number}.png": png(depth) for number in range(3)})
    source = FolderSource(folder)
    np.testing.assert_array_equal(source.read(1, 4).targets["depth"][0, 0], [1, 2, 3, 4])
    assert source.warnings() == (
        "depth is 4 x 3 pixels, but the image is 40 x 30: each pixel of the image gets the nearest value",
    )


def test_folders_of_a_kind_of_their_own_are_told_how_to_declare_them(tmp_path):
    files = {"rgb/1.png": RGB, "temp/1.png": png(np.ones((30, 40), np.uint16)), "notes/about.txt": b"x"}
    declares = (
        r"not read: .*temp/ \(1 .png\).*; labels of a kind of your own are declared in dataset.yaml: 'tasks: \{temp: "
    )
    with pytest.raises(DataError, match=f"no image has a label; .*{declares}"):
        FolderSource(write_files(tmp_path, files))
    write_files(tmp_path, {"semantic/1.png": LABELS})
    assert re.search(declares, warnings(tmp_path))
    write_files(tmp_path, {"dataset.yaml": b"tasks: {temp: {range: [0, 3]}}"})
    assert "tasks:" not in warnings(tmp_path)
