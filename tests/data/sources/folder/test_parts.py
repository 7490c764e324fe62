"""Parts of a split that a folder gives, and what the official split lacks."""

from dataclasses import replace

import numpy as np

from mgm.data.sources.folder.parts import given_parts, split_pictures
from mgm.data.sources.folder.pictures import Picture
from mgm.data.sources.folder.settings import FolderSettings, SplitSettings

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
