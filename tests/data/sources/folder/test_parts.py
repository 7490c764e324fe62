"""Parts of a split that a folder gives, and what the official split lacks."""

from dataclasses import replace

import numpy as np
import pytest

from mgm.data.sources.folder.parts import given_parts, split_pictures
from mgm.data.sources.folder.pictures import Picture
from mgm.data.sources.folder.settings import FolderSettings, SplitSettings, TableSettings

PARTS = ["train", "train", "train", "train", "validation", "test"]
PICTURES = [Picture(str(number), f"{number}.png", part, labels={"depth": "d.png"}) for number, part in enumerate(PARTS)]


def test_a_validation_part_can_be_the_test_set():
    assert given_parts(PICTURES, SplitSettings()) == PARTS
    assert given_parts(PICTURES, SplitSettings(val_is_test=True)) == [*PARTS[:4], "test", "test"]


def test_the_official_split_takes_validation_from_training_where_none_is_given():
    official = split_pictures(PICTURES, FolderSettings(), ("depth",), "official", 0)
    assert [part.tolist() for part in (official.train, official.validation, official.test)] == [[0, 1, 2, 3], [4], [5]]
    settings = FolderSettings(split=SplitSettings(official_validation=0.5))
    lacking = [replace(picture, part=picture.part.replace("validation", "train")) for picture in PICTURES]
    drawn = split_pictures(lacking, settings, ("depth",), "official", 0)
    assert drawn.test.tolist() == [5]
    assert len(drawn.validation) == 2
    assert np.array_equal(np.sort(np.concatenate([drawn.train, drawn.validation])), np.arange(5))


def test_random_parts_leave_given_ones_alone_unless_all_are_to_be_drawn():
    kept = split_pictures(PICTURES, FolderSettings(), ("depth",), "random", 0)
    assert (kept.validation.tolist(), kept.test.tolist()) == ([4], [5])
    drawn = [
        split_pictures(PICTURES, FolderSettings(split=SplitSettings(random="all")), ("depth",), "random", seed)
        for seed in range(8)
    ]
    assert len({split.test[0] for split in drawn}) > 1


def half_labelled(part: str = "", count: int = 40) -> list[Picture]:
    """Images in groups of four, of which every second one has a label."""
    return [
        Picture(str(number), "", part, group=str(number // 4), labels={} if number % 2 else {"depth": "d.png"})
        for number in range(count)
    ]


@pytest.mark.parametrize("kind", ["building", "official"])
def test_unlabelled_images_of_a_held_out_group_are_in_no_part(kind):
    pictures = [*half_labelled("train"), Picture("t", "", "test", group="t", labels={"depth": "d.png"})]
    given = SplitSettings(official_validation=0.3)
    split = split_pictures(
        pictures, FolderSettings(table=TableSettings(group="building"), split=given), ("depth",), kind, 0
    )
    groups = [{pictures[index].group for index in part} for part in (split.train, split.validation, split.test)]
    assert sum(map(len, groups)) == 11
    assert split.validation.size
    assert (split.validation % 2 == 0).all()
    assert sum(map(len, (split.train, split.validation, split.test))) == 41 - len(split.validation)


def test_the_official_split_takes_no_unlabelled_images_for_validation():
    pictures = [*half_labelled("train", 20), Picture("t", "", "test", labels={"depth": "d.png"})]
    pictures[1].labels["mask"] = "m.png"
    split = split_pictures(
        pictures, FolderSettings(split=SplitSettings(official_validation=0.3)), ("depth",), "official", 0
    )
    assert len(split.validation) == 3
    assert all("depth" in pictures[index].labels for index in split.validation)
    assert len(split.train) == 17


@pytest.mark.parametrize(
    ("count", "given", "options", "sizes"),
    [
        (31, 0, {"train": 10}, (10, 11, 10)),
        (31, 0, {"train": 30}, (21, 5, 5)),
        (40, 4, {"train": 5}, (5, 31, 4)),
        (40, 0, {"train": 20, "validation": 0}, (20, 0, 20)),
        (40, 0, {"train": 20, "validation": 0, "test": 0}, (40, 0, 0)),
    ],
)
def test_at_most_so_many_images_are_for_training_if_the_others_have_a_place(count, given, options, sizes):
    pictures = [
        Picture(str(number), "", "test" if number < given else "", labels={"depth": "d.png"}) for number in range(count)
    ]
    split = split_pictures(pictures, FolderSettings(split=SplitSettings(**options)), ("depth",), "random", 0)
    assert tuple(map(len, (split.train, split.validation, split.test))) == sizes
